/** Pipelines over the built binary, in a real browser. The ids are those of the acceptance list. */

import AxeBuilder from '@axe-core/playwright'
import type { Page } from '@playwright/test'
import { appendFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Pond, expect, param, test } from './pond'

/** A collector that can be told to refuse, or not to answer at all. */
class Collector {
  status = 200
  hangs = false
  lines = 0
  address = ''
  #server: Server = createServer((request, response) => {
    let text = ''
    request.on('data', data => (text += data))
    request.on('end', () => {
      if (this.hangs) return
      if (this.status === 200) this.lines += text.trim().split('\n').length
      response.writeHead(this.status).end(this.status === 200 ? '' : 'not today')
    })
  })

  async start(): Promise<void> {
    await new Promise<void>(resolve => this.#server.listen(0, '127.0.0.1', resolve))
    this.address = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/`
  }

  end(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

async function withPond(config: (folder: string) => string, work: (pond: Pond) => Promise<void>): Promise<void> {
  const pond = new Pond(config)
  await pond.start()
  try {
    await work(pond)
  } finally {
    await pond.end()
  }
}

const pipelines = async (page: Page, pond: Pond, search = '') => {
  await page.goto(`${pond.address}/_ui/pipelines${search}`)
  await expect(page.locator('[data-node=filters], [data-row=filters]')).toBeVisible()
}
const rateOf = async (page: Page, node: string) => Number(await page.locator(`[data-node="${node}"] [data-rate]`).getAttribute('data-rate'))

const THREE = (folder: string) => `
inputs:
  made: {generate: {rate: 300, format: apache}}
  other: {generate: {rate: 100, format: json}}
  app: {file: {paths: ["${folder}/app-*.log"]}}
filters:
  - auto
  - set: {fields: {site: web}}
  - {if: .status == 304, then: [drop]}
  - rename: {fields: {site: place}}
outputs:
  store: store
  archive: {file: {path: "${folder}/archive.ndjson"}}
  errors: {file: {path: "${folder}/errors.ndjson"}, when: .status >= 400}
`

test('D1: the graph is that of the config, and its rates are those of the counters', async ({ page, errors }) => {
  await withPond(THREE, async pond => {
    await pipelines(page, pond)
    const nodes = await page.locator('[data-node]').evaluateAll(all => all.map(node => node.getAttribute('data-node')))
    expect(nodes.sort()).toEqual(['filters', 'inputs.app', 'inputs.made', 'inputs.other', 'outputs.archive', 'outputs.errors', 'outputs.store', 'queue'].sort())
    expect(await page.locator('[data-edge]').count()).toBe(3 + 1 + 3)
    const steps = await page.locator('[data-node=filters] .step > span:first-child').allInnerTexts()
    const { pipelines: [own] } = await pond.ask('GET', '/_logpond/stats')
    expect(steps).toEqual(own.filters.map((filter: any) => filter.kind))
    const places = () => page.locator('[data-node]').evaluateAll(all => all.map(node => (node as HTMLElement).style.cssText))
    const before = await places()
    // Both looks at the counters are some seconds apart, as those of the page are.
    await page.waitForTimeout(5000)
    const read = async () => {
      const stats = await pond.ask('GET', '/_logpond/stats')
      const events = Object.fromEntries(stats.pipelines[0].inputs.map((input: any) => [input.name, input.events]))
      return { at: stats.uptime_seconds, events }
    }
    const first = await read()
    await page.waitForTimeout(5000)
    const second = await read()
    for (const name of ['made', 'other']) {
      const rate = (second.events[name] - first.events[name]) / (second.at - first.at)
      const shown = await rateOf(page, `inputs.${name}`)
      expect(Math.abs(shown - rate) / rate, `${name}: ${shown} shown, ${rate} counted`).toBeLessThan(0.1)
    }
    expect(await rateOf(page, 'inputs.app')).toBe(0)
    expect(await places()).toEqual(before)
    await page.getByRole('button', { name: 'Table' }).click()
    await expect(page.locator('[data-row]')).toHaveCount(3 + 1 + own.filters.length + 1 + 3)
    await page.getByRole('columnheader', { name: 'Rate' }).getByRole('button').click()
    await expect(page.locator('[data-row]').first()).toHaveAttribute('data-row', /filters|inputs.made/)
    expect(param(page, 'v')).toEqual(['table'])
    expect(errors).toEqual([])
  })
})

test('D2: an output that is held is named, and the queue grows', async ({ page }) => {
  const collector = new Collector()
  await collector.start()
  try {
    const config = () => `
inputs: {made: {generate: {rate: 500}}}
queue: {bytes_max: 16MiB, segment_bytes: 1MiB}
outputs:
  slow: {http: {url: "${collector.address}", request_timeout: 60s, in_flight_max: 1}}
  all: {blackhole: {}}
`
    await withPond(config, async pond => {
      await pipelines(page, pond)
      await expect.poll(() => collector.lines).toBeGreaterThan(500)
      await expect(page.locator('[data-bottleneck]')).toBeHidden()
      collector.hangs = true
      await expect(page.locator('[data-bottleneck="outputs.slow"]')).toBeVisible({ timeout: 15_000 })
      await expect(page.locator('[data-node="outputs.slow"] .badge')).toBeVisible()
      expect(await page.locator('.badge').count()).toBe(1)
      await page.locator('[data-node=queue]').click()
      const events = () => page.locator('[data-node=queue] [data-events]').getAttribute('data-events').then(Number)
      const before = await events()
      await expect.poll(events).toBeGreaterThan(before + 500)
      await expect(page.getByText(/full in \d/)).toBeVisible()
      await expect(page.locator('[data-details=queue]')).toContainText('Oldest event')
      expect(param(page, 'n')).toEqual(['queue'])
    })
  } finally {
    collector.end()
  }
})

test('D3: what is in the queue outlives kill -9', async ({ page }) => {
  const collector = new Collector()
  collector.status = 503
  await collector.start()
  try {
    const config = (folder: string) => `
inputs: {app: {file: {paths: ["${folder}/app.log"]}}}
queue: {}
outputs: {away: {http: {url: "${collector.address}"}}}
`
    const pond = new Pond(config)
    await pond.start()
    try {
      appendFileSync(join(pond.folder, 'app.log'), Array.from({ length: 700 }, (_, n) => `line ${n}\n`).join(''))
      await pipelines(page, pond)
      const events = page.locator('[data-node=queue] [data-events]')
      await expect(events).toHaveAttribute('data-events', '700')
      await pond.kill()
      await expect(page.getByText('The server does not answer')).toBeVisible()
      await pond.start()
      await expect(page.getByText('The server does not answer')).toBeHidden({ timeout: 30_000 })
      await expect(events).toHaveAttribute('data-events', '700')
      collector.status = 200
      await expect(events).toHaveAttribute('data-events', '0', { timeout: 60_000 })
      expect(collector.lines).toBeGreaterThanOrEqual(700)
    } finally {
      await pond.end()
    }
  } finally {
    collector.end()
  }
})

test('D4: a tap shows events on both sides of a filter, with what it did', async ({ page }) => {
  await withPond(THREE, async pond => {
    await pipelines(page, pond, '?n=filters&part=tap')
    await expect(page.getByRole('combobox', { name: 'Tap' })).toHaveValue('filters.0')
    await page.getByRole('searchbox', { name: 'KQL' }).fill('message: *404*')
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    const rows = page.getByRole('list', { name: 'Events' }).getByRole('listitem')
    await expect.poll(() => rows.count()).toBeGreaterThan(3)
    for (const text of await rows.locator('.message').allInnerTexts()) expect(text).toContain('404')
    const pair = rows.filter({ hasText: /\+\d+ −0 ~\d/ }).first()
    await expect(pair).toBeVisible()
    await page.getByRole('button', { name: 'Stop' }).click()
    await pair.getByRole('button').click()
    const changed = await pair.locator('tr[data-change=new] th').allInnerTexts()
    expect(changed).toContain('status')
    expect(changed).toContain('path')
    await expect(page.getByText('it has ended')).toBeVisible()
    await page.getByRole('combobox', { name: 'Tap' }).selectOption('outputs.errors')
    await page.getByRole('searchbox', { name: 'KQL' }).fill('status: 500')
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await expect.poll(() => rows.count()).toBeGreaterThan(1)
    await page.getByRole('button', { name: 'Stop' }).click()
    await rows.first().getByRole('button').click()
    await expect(rows.first().locator('pre')).toContainText('"status": 500')
    await expect(rows.first().locator('pre')).toContainText('"place": "web"')
    await page.getByRole('searchbox', { name: 'KQL' }).fill('status:')
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await expect(page.getByRole('alert')).toContainText('not understood')
  })
})

test('Dead letters have their reason, and are replayed and dropped', async ({ page }) => {
  const collector = new Collector()
  collector.status = 400
  await collector.start()
  try {
    const config = (folder: string) => `
inputs: {app: {file: {paths: ["${folder}/app.log"]}}}
outputs:
  strict: {http: {url: "${collector.address}", framing: single}}
  named: {file: {path: "${folder}/%{service}.ndjson"}}
`
    await withPond(config, async pond => {
      appendFileSync(join(pond.folder, 'app.log'), 'one\ntwo\nthree\n')
      await pipelines(page, pond, '?part=letters')
      const strict = page.locator('tr[data-output=strict]')
      const named = page.locator('tr[data-output=named]')
      await expect(strict).toHaveAttribute('data-letters', '3', { timeout: 60_000 })
      await expect(named).toContainText('the event has no field "service"')
      await strict.getByRole('button', { name: 'Show' }).click()
      const letters = page.getByRole('list', { name: 'Dead letters' }).getByRole('listitem')
      await expect(letters).toHaveCount(3)
      await letters.filter({ hasText: 'two' }).getByRole('button').click()
      await expect(letters.filter({ hasText: 'two' }).locator('pre')).toContainText('"message": "two"')
      collector.status = 200
      await strict.getByRole('button', { name: 'Replay' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Replay' }).click()
      await expect(page.locator('[data-progress=done]')).toHaveText(/3 of 3 replayed/)
      await expect(strict).toBeHidden()
      await expect.poll(() => collector.lines).toBe(3)
      await named.getByRole('button', { name: 'Drop' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click()
      await expect(named).toHaveAttribute('data-letters', '3')
      await named.getByRole('button', { name: 'Drop' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Drop' }).click()
      await expect(page.getByText('No output refused anything')).toBeVisible()
      expect((await pond.ask('GET', '/_logpond/dead-letters')).letters).toEqual([])
    })
  } finally {
    collector.end()
  }
})

test('F1: what of a file is read, and what is safe, stand side by side', async ({ page }) => {
  const collector = new Collector()
  collector.status = 503
  await collector.start()
  try {
    const config = (folder: string) => `
inputs: {app: {file: {paths: ["${folder}/app-*.log"]}}}
queue: none
outputs: {away: {http: {url: "${collector.address}"}}}
`
    await withPond(config, async pond => {
      const path = join(pond.folder, 'app-1.log')
      appendFileSync(path, 'a line\n'.repeat(50))
      appendFileSync(join(pond.folder, 'app-2.log'), '')
      await pipelines(page, pond, '?n=inputs.app&part=files')
      const row = page.locator(`tr[data-file="${path}"]`)
      await expect(row).toHaveAttribute('data-read', '350')
      await expect(row).toHaveAttribute('data-safe', '0')
      collector.status = 200
      await expect(row).toHaveAttribute('data-safe', '350', { timeout: 60_000 })
      await page.getByRole('searchbox', { name: 'Find a file' }).fill('app-1')
      await expect(page.locator('tr[data-file]')).toHaveCount(1)
      await row.getByRole('link').click()
      await expect(page).toHaveURL(/_ui\/discover\?f=/)
      expect(param(page, 'f')).toEqual([`+log.file.path:"${path}"`])
    })
  } finally {
    collector.end()
  }
})

test('D4: what a filter masked is in nothing that a tap behind it sends', async ({ page }) => {
  const config = (folder: string) => `
inputs: {app: {file: {paths: ["${folder}/app.log"]}}}
filters:
  - mutate: {gsub: [{field: message, regex: 'card=[0-9]+', with: 'card=***'}]}
outputs: {all: {blackhole: {}}}
`
  await withPond(config, async pond => {
    await pipelines(page, pond, '?n=outputs.all&part=tap')
    const wire = fetch(`${pond.address}/_logpond/tap`, { method: 'POST', body: JSON.stringify({ points: ['outputs.all'], limit: 20 }) })
    await page.getByRole('button', { name: 'Start', exact: true }).click()
    await expect(page.getByRole('button', { name: 'Stop' })).toBeVisible()
    let n = 0
    const rows = page.getByRole('list', { name: 'Events' }).getByRole('listitem')
    await expect.poll(async () => {
      appendFileSync(join(pond.folder, 'app.log'), Array.from({ length: 10 }, () => `payment ${n++} card=4000123412341234 done\n`).join(''))
      return rows.count()
    }).toBeGreaterThan(3)
    const sent = (await (await wire).text()).trim().split('\n').map(line => JSON.parse(line)).filter(line => line.event)
    expect(sent.length).toBe(20)
    for (const { event } of sent) expect(event.message).toMatch(/^payment \d+ card=\*\*\* done$/)
    expect(JSON.stringify(sent)).not.toContain('4000123412341234')
    expect(await page.content()).not.toContain('4000123412341234')
    expect(await page.content()).toContain('card=***')
  })
})

test('D5: a changed config changes the graph; a broken one is told of, and what ran runs on', async ({ page }) => {
  const outputs = (archive: string) => `
inputs: {made: {generate: {rate: 50}}}
filters: [auto, {set: {fields: {site: web}}}]
queue: {}
outputs:
  all: {blackhole: {}}
  ${archive}
`
  await withPond(folder => outputs(`archive: {file: {path: "${folder}/archive.ndjson"}}`), async pond => {
    await pipelines(page, pond)
    const shown = () => page.locator('[data-node]').evaluateAll(all => all.map(node => node.getAttribute('data-node')!).sort())
    const before = ['filters', 'inputs.made', 'outputs.all', 'outputs.archive', 'queue']
    expect(await shown()).toEqual(before)
    const readAnew = async () => {
      await page.locator('body').press('Control+k')
      await page.getByRole('option', { name: 'Read the config anew' }).click()
    }
    // A config with an option that there is not, and with a password that nobody is to see.
    const line = 'strict: {elasticsearch: {endpoints: ["http://127.0.0.1:1"], auth: {basic: {user: me, password: hunter2}}, bulk: 5}}'
    pond.configure(outputs(line))
    await readAnew()
    const banner = page.locator('[data-reload=refused]')
    await expect(banner).toContainText('what ran before runs on')
    await expect(banner).toContainText('bulk')
    await expect(banner).toContainText(/config\.yaml:\d+/)
    expect(await shown()).toEqual(before)
    await expect.poll(() => rateOf(page, 'inputs.made')).toBeGreaterThan(0)
    expect(await page.content()).not.toContain('hunter2')
    expect(JSON.stringify(await pond.ask('GET', '/_logpond/stats'))).not.toContain('hunter2')
    // It is mended, and read at a click.
    pond.configure(outputs(`strict: {file: {path: "${pond.folder}/strict.ndjson"}}`))
    await banner.getByRole('button', { name: 'Read the config anew' }).click()
    await expect(page.locator('[data-reload=taken]')).toContainText('main')
    await expect(banner).toBeHidden()
    await expect.poll(shown).toEqual(['filters', 'inputs.made', 'outputs.all', 'outputs.strict', 'queue'])
  })
})

for (const theme of ['light', 'dark']) {
  for (const language of ['en', 'ko', 'zh-CN']) {
    test(`G1: axe finds nothing on Pipelines, ${theme}, ${language}`, async ({ page, shared }) => {
      await page.addInitScript(([theme, language]) => {
        localStorage.setItem('theme', theme!)
        localStorage.setItem('language', language!)
      }, [theme, language])
      for (const search of ['?n=filters', '?n=queue&part=tap', '?part=letters', '?v=table&part=files']) {
        await pipelines(page, shared.pond, search)
        await page.waitForTimeout(1200)
        const { violations } = await new AxeBuilder({ page }).withTags(['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']).analyze()
        expect(violations.map(one => `${search}: ${one.id} ${one.nodes.map(node => node.target.join(' ')).slice(0, 4).join(' | ')}`)).toEqual([])
      }
    })
  }
}

test('G2: a tap by keyboard only', async ({ page }) => {
  await withPond(THREE, async pond => {
    await pipelines(page, pond)
    await page.keyboard.press('/')
    await page.keyboard.type('outputs.archive')
    await page.keyboard.press('Enter')
    await expect(page.locator('[data-node="outputs.archive"]')).toBeFocused()
    await page.keyboard.press('2')
    await expect(page.getByRole('combobox', { name: 'Tap' })).toHaveValue('outputs.archive')
    const start = page.getByRole('button', { name: 'Start', exact: true })
    for (let n = 0; n < 60 && !(await start.evaluate(button => button === document.activeElement)); n++) await page.keyboard.press('Tab')
    await expect(start).toBeFocused()
    await page.keyboard.press('Enter')
    await expect.poll(() => page.getByRole('list', { name: 'Events' }).getByRole('listitem').count()).toBeGreaterThan(3)
    await page.keyboard.press('Escape')
    await page.locator('[data-node=filters]').focus()
    await page.keyboard.press('j')
    await expect(page.locator('[data-node=queue]')).toHaveAttribute('aria-pressed', 'true')
    await page.keyboard.press('g')
    await page.keyboard.press('d')
    await expect(page).toHaveURL(/_ui\/discover/)
  })
})

test('A4: Pipelines keeps to the policy, too', async ({ page, errors }) => {
  await withPond(THREE, async pond => {
    await page.addInitScript(() => {
      ;(window as any).violations = []
      document.addEventListener('securitypolicyviolation', event => (window as any).violations.push(`${event.violatedDirective} ${event.sourceFile}`))
    })
    await pipelines(page, pond, '?n=outputs.store')
    for (const name of ['Tap', /Dead letters/, 'Files', 'Table']) await page.getByRole('button', { name }).first().click()
    expect(await page.evaluate(() => (window as any).violations)).toEqual([])
    expect(errors).toEqual([])
  })
})
