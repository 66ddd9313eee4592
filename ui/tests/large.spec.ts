/**
 * Exports of a million events, over each store. It takes minutes, so it is asked for:
 * `LOGPOND_LARGE=1 ./dev ui test large`.
 */

import type { Page } from '@playwright/test'
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { discover, expect, test } from './pond'

const EVENTS = Number(process.env.LOGPOND_LARGE_EVENTS ?? 1_000_000)
const AT_ONCE = 5_000
const BEGIN = Date.UTC(2026, 2, 1)

/** One each millisecond, so that their order is known. */
const event = (n: number) => ({
  '@timestamp': new Date(BEGIN + n).toISOString(), n,
  level: n % 10 === 0 ? 'error' : 'info', message: `request ${n}, "${(n * 7919) % 1000} ms" for item ${n % 50}`,
})
/** As CSV quotes it. */
const csv = (text: string) => `"${text.replaceAll('"', '""')}"`

/** What a file of all events must be: how many lines, and the hash of all of them. */
function oracle(head: string, line: (n: number) => string): { lines: number, hash: string } {
  const hash = createHash('sha256').update(head)
  for (let n = 0; n < EVENTS; n++) hash.update(line(n))
  return { lines: EVENTS + (head ? 1 : 0), hash: hash.digest('hex') }
}

async function heap(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page)
  await session.send('HeapProfiler.collectGarbage')
  const { usedSize } = await session.send('Runtime.getHeapUsage')
  await session.detach()
  return usedSize
}

test('B13: a million events as files', { tag: '@everywhere' }, async ({ page, shared, backend }) => {
  test.skip(!process.env.LOGPOND_LARGE, 'LOGPOND_LARGE=1 asks for it')
  test.setTimeout(1_800_000)
  const begun = Date.now()
  for (let from = 0; from < EVENTS; from += AT_ONCE) {
    await shared.pond.bulk('large', Array.from({ length: Math.min(AT_ONCE, EVENTS - from) }, (_, n) => event(from + n)), false)
  }
  await shared.pond.ask('POST', '/large/_refresh')
  console.log(`${backend}: ${EVENTS} events stored in ${Math.round((Date.now() - begun) / 1000)} s`)
  const t = `${new Date(BEGIN).toISOString()}..${new Date(BEGIN + EVENTS).toISOString()}`
  await discover(page, shared.pond, { i: 'large', t, c: '@timestamp,n,message' })
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', String(EVENTS))
  for (const [form, expected] of [
    ['ndjson', oracle('', n => `${JSON.stringify(event(n))}\n`)],
    ['csv', oracle('@timestamp,n,message\r\n', n => { const own = event(n); return `${own['@timestamp']},${n},${csv(own.message)}\r\n` })],
  ] as const) {
    const before = await heap(page)
    const since = Date.now()
    await page.keyboard.press('e')
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Format').selectOption(form)
    await dialog.getByLabel('Order').selectOption('asc')
    const [file] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('link', { name: 'Download' }).click()])
    const path = await file.path()
    const after = await heap(page)
    const hash = createHash('sha256')
    let lines = 0
    let bytes = 0
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      bytes += chunk.length
      for (const byte of chunk) if (byte === 10) lines++
    }
    console.log(`${backend}: ${form}, ${lines} lines, ${(bytes / 1e6).toFixed(0)} MB in ${((Date.now() - since) / 1000).toFixed(1)} s; heap of the page ${(before / 1e6).toFixed(1)} MB before, ${(after / 1e6).toFixed(1)} MB after`)
    expect({ lines, hash: hash.digest('hex') }).toEqual(expected)
    expect(after - before).toBeLessThan(5_000_000)
    await file.delete()
  }
})
