/** Ponds for tests: the built binary on a free port, in a folder that goes with it; over its own store, or over a real cluster. */

import { test as base, expect, type Page } from '@playwright/test'
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { RealServer, type ServerName } from './server'

export type Doc = Record<string, unknown>

function binary(): string {
  const target = process.env.CARGO_TARGET_DIR ?? join(homedir(), '.cache/logpond/target')
  const path = process.env.LOGPOND_BIN ?? join(target, 'debug/logpond')
  if (!existsSync(path)) throw new Error(`${path} is missing: cargo build -p cli, or ./dev test`)
  return path
}

export class Pond {
  readonly folder = mkdtempSync(join(tmpdir(), 'page-'))
  address = ''
  #child: ChildProcess | null = null
  #listen = ''

  /** With a config, which is made for the folder; else it has the store alone. */
  constructor(readonly config?: (folder: string) => string) {}

  /** What it is started with; `up` where there is no config. */
  arguments(listen: string): string[] {
    const data = join(this.folder, 'data')
    if (!this.config) return ['up', '--no-journal', '--listen', listen, '--data-dir', data, join(this.folder, 'none.log')]
    this.#listen = listen
    return ['run', '-c', this.configure(this.config(this.folder))]
  }

  /** Writes its config anew, which it reads when it is asked to. */
  configure(config: string): string {
    const path = join(this.folder, 'config.yaml')
    writeFileSync(path, `data_dir: ${join(this.folder, 'data')}\napi: {listen: "${this.#listen}"}\n${config}`)
    return path
  }

  /** Starts it, at the address of before if there was one. */
  async start(): Promise<void> {
    const listen = this.address.replace('http://', '') || '127.0.0.1:0'
    const child = spawn(binary(), this.arguments(listen))
    this.#child = child
    let said = ''
    this.address = await new Promise<string>((resolve, reject) => {
      const hear = (data: Buffer) => {
        said += data
        const found = /http:\/\/[\d.:]+/.exec(said)
        if (found) resolve(found[0])
      }
      child.stderr!.on('data', hear)
      child.stdout!.on('data', hear)
      child.on('exit', (code, signal) => {
        const why = `logpond ended with ${code ?? signal}: ${said}`
        reject(new Error(why))
        // It should have gone on.
        if (this.#child === child) console.error(why)
      })
    })
  }

  async stop(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (!child || child.exitCode !== null) return
    const gone = new Promise(resolve => child.on('exit', resolve))
    child.kill('SIGTERM')
    await gone
  }

  /** kill -STOP: it does nothing more, and its connections stay. */
  pause(): void {
    this.#child!.kill('SIGSTOP')
  }

  /** kill -9 */
  async kill(): Promise<void> {
    const child = this.#child!
    this.#child = null
    const gone = new Promise(resolve => child.on('exit', resolve))
    child.kill('SIGKILL')
    await gone
  }

  async end(): Promise<void> {
    await this.stop()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** Where documents are: the same server, unless it is over a cluster. */
  get store(): string {
    return this.address
  }

  /** Asks the store. */
  async ask<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    return this.askAt(this.store, method, path, body)
  }

  /** Asks the page's own server, as the page does. */
  async askAsPage<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    return this.askAt(this.address, method, path, body)
  }

  protected async askAt<T>(address: string, method: string, path: string, body?: unknown): Promise<T> {
    const text = body === undefined ? undefined : typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await fetch(address + path, { method, body: text ?? null, headers: { 'content-type': 'application/json' } })
    const json = await answer.json()
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${JSON.stringify(json)}`)
    return json as T
  }

  /** Stores documents; they can be found when it returns. */
  async bulk(index: string, docs: Doc[], refresh = true): Promise<void> {
    for (let from = 0; from < docs.length; from += 5000) {
      const lines = docs.slice(from, from + 5000).flatMap(doc => ['{"create":{}}', JSON.stringify(doc)])
      const answer = await this.ask('POST', `/${index}/_bulk`, lines.join('\n') + '\n')
      expect(answer.errors, JSON.stringify(answer.items?.find((item: any) => item.create?.error))).toBe(false)
    }
    if (refresh) await this.ask('POST', `/${index}/_refresh`)
  }

  async count(index: string, query: unknown): Promise<number> {
    return (await this.ask('POST', `/${index}/_count`, { query })).count
  }
}

/** The page over a store that is somewhere else. */
export class Over extends Pond {
  constructor(readonly cluster: { address: string }) {
    super()
  }

  override get store(): string {
    return this.cluster.address
  }

  override arguments(listen: string): string[] {
    return ['ui', '--listen', listen, '--elasticsearch', this.cluster.address]
  }
}

/** 30,000 events, one each 20 ms, of three hosts with a file each; the last one a minute ago. */
export const SMALL = 30_000
export const LEVELS = ['info', 'info', 'info', 'info', 'info', 'info', 'info', 'warn', 'warn', 'error']
export const STATUS = [200, 200, 200, 200, 304, 200, 404, 200, 500, 503]

export function small(last: number): Doc[] {
  return Array.from({ length: SMALL }, (_, n) => {
    const host = `web-0${(n % 3) + 1}`
    return {
      '@timestamp': new Date(last - (SMALL - 1 - n) * 20).toISOString(),
      level: LEVELS[(n * 7) % 10], status: STATUS[(n * 3) % 10], n,
      host: { name: host }, log: { file: { path: `/var/log/${host}/app.log` } },
      message: `request ${n} took ${(n * 37) % 900} ms for item ${n % 50}`,
    }
  })
}

/** What a run is over: the binary's own store, or a real server with the page in front of it. */
export type Backend = 'logpond' | ServerName
interface Shared {
  pond: Pond
  last: number
  /** Stops the store where it is; ends it as a failure would; brings it back with what it held. */
  pauseStore: () => Promise<void>
  loseStore: () => Promise<void>
  bringStore: () => Promise<void>
}

/** One pond with the small set for all tests of a worker. */
export const test = base.extend<{ errors: string[] }, { backend: Backend, shared: Shared }>({
  backend: ['logpond', { scope: 'worker', option: true }],
  shared: [async ({ backend }, use) => {
    const cluster = backend === 'logpond' ? null : await RealServer.start(backend)
    const pond = cluster ? new Over(cluster) : new Pond()
    try {
      await pond.start()
      const last = Math.floor(Date.now() / 1000) * 1000 - 60_000
      await pond.bulk('logs-small', small(last))
      await use({
        pond, last,
        pauseStore: async () => (cluster ? cluster.tell('pause') : pond.pause()),
        loseStore: () => (cluster ? cluster.tell('kill') : pond.kill()),
        bringStore: () => (cluster ? cluster.tell('start') : pond.start()),
      })
    } finally {
      await pond.end()
      await cluster?.end()
    }
  }, { scope: 'worker', timeout: 300_000 }],
  // What the console and the policy complained about; a test that expects none says so.
  errors: async ({ page }, use) => {
    const errors: string[] = []
    page.on('console', message => message.type() === 'error' && errors.push(message.text()))
    page.on('pageerror', error => errors.push(String(error)))
    await use(errors)
  },
})

export { expect }

export const fixed = ({ last }: Shared) => `${new Date(last - 600_000).toISOString()}..${new Date(last + 1).toISOString()}`

/** Opens Discover and waits until it has searched. */
export async function discover(page: Page, pond: Pond, parameters: Record<string, string | string[]> = {}): Promise<void> {
  const search = new URLSearchParams()
  for (const [key, values] of Object.entries(parameters)) for (const value of [values].flat()) search.append(key, value)
  await page.goto(`${pond.address}/_ui/discover?${search}`)
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', /\d/)
}

export const hits = async (page: Page) => Number(await page.locator('[data-hits]').getAttribute('data-hits'))
export const bars = async (page: Page) =>
  (await page.locator('rect.bar').evaluateAll(all => all.map(bar => Number(bar.getAttribute('data-count'))))).reduce((a, b) => a + b, 0)
/** The text of a column in the rows that are drawn. */
export const column = (page: Page, name: string) => page.locator(`[role=gridcell][data-field="${name}"] .text`).allInnerTexts()
export const param = (page: Page, key: string) => new URL(page.url()).searchParams.getAll(key)
