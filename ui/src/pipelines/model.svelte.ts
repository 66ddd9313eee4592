/** What the page Pipelines knows: how the pond stood in the last seconds, and its address. */

import { Refused, ask, isAbort } from '../lib/api'
import { view, type Stats } from './view'

/** Time between two looks. */
const EVERY = 1000
/** Rates are those of so many seconds, so that they do not jump; those of steps of more. */
const LOOKS = 6
const LOOKS_KEPT = 31
/** Looks that lines are drawn of: five minutes. */
const HISTORY = 300

export const PARTS = ['details', 'tap', 'letters', 'files'] as const
export type Part = (typeof PARTS)[number]
export interface FileStatus { path: string, read: number, safe: number, behind: number, seconds_behind: number }
export interface Ledger { files: FileStatus[], unreadable: unknown[] }
/** What a line shows: events a second, and how full or busy the part is, in percent. */
export interface Moment { rate: number, load: number }

export class Pipelines {
  looks = $state.raw<Stats[]>([])
  now = $derived(this.looks.at(-1) ?? null)
  view = $derived.by(() => {
    const { looks, now } = this
    if (!now) return null
    // A first look is one since the start.
    return looks.length > 1 ? view(looks.at(-LOOKS) ?? looks[0]!, now, looks[0]) : view({ ...now, pid: -1 }, now)
  })
  name = $state('')
  pipeline = $derived(this.view?.pipelines.find(one => one.name === this.name) ?? this.view?.pipelines[0] ?? null)
  bottleneck = $derived(this.view?.bottleneck?.pipeline === this.pipeline?.name ? (this.view?.bottleneck ?? null) : null)
  ledger = $state.raw<Ledger | null>(null)
  error = $state.raw<Refused | null>(null)
  reloading = $state(false)
  shows = $state<'graph' | 'table'>('graph')
  node = $state('')
  part = $state<Part>('details')
  /** What the lines are drawn of, by pipeline and part. */
  history = new Map<string, Moment[]>()

  #timer: ReturnType<typeof setTimeout> | undefined
  #abort = new AbortController()
  #rest: [string, string][] = []

  start(): void {
    this.#read()
    void this.#look()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#abort.abort()
  }

  /** Looks, and looks again after a second; nothing is asked while nobody can see it. */
  async #look(): Promise<void> {
    const begun = performance.now()
    if (!document.hidden) {
      try {
        const stats = await ask<Stats>('GET', '/_logpond/stats', undefined, this.#abort.signal)
        const last = this.looks.at(-1)
        const begins = last && (last.pid !== stats.pid || last.uptime_seconds >= stats.uptime_seconds)
        this.looks = [...(begins ? [] : this.looks), stats].slice(-LOOKS_KEPT)
        if (this.part === 'files') this.ledger = await ask<Ledger>('GET', '/_logpond/ledger', undefined, this.#abort.signal)
        this.error = null
        this.#remember()
      } catch (error) {
        if (isAbort(error)) return
        if (!(error instanceof Refused)) throw error
        this.error = error
      }
    }
    if (this.#abort.signal.aborted) return
    this.#timer = setTimeout(() => void this.#look(), Math.max(EVERY - (performance.now() - begun), 100))
  }

  /** Has the config read anew. How that went is seen with the next look; that it cannot be read at all, here. */
  async reload(): Promise<void> {
    this.reloading = true
    try {
      await ask('POST', '/_logpond/reload')
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      this.error = error
    } finally {
      this.reloading = false
    }
  }

  #remember(): void {
    if (this.looks.length < 2) return
    for (const pipeline of this.view?.pipelines ?? []) {
      const put = (id: string, rate: number, load: number) => {
        const key = `${pipeline.name}/${id}`
        const moments = this.history.get(key) ?? []
        this.history.set(key, [...moments, { rate, load }].slice(-HISTORY))
      }
      pipeline.inputs.forEach(input => put(`inputs.${input.name}`, input.rate, input.blocked))
      put('filters', pipeline.readRate, pipeline.workers.busy)
      if (pipeline.queue) put('queue', pipeline.readRate, pipeline.queue.fill)
      pipeline.outputs.forEach(output => put(`outputs.${output.name}`, output.rate, output.busy))
    }
  }

  choose(node: string, part?: Part): void {
    this.node = node
    if (part) this.part = part
    this.write()
  }

  #read(): void {
    const own = new Set(['p', 'v', 'n', 'part'])
    const values = new URLSearchParams(location.search)
    this.name = values.get('p') ?? ''
    this.shows = values.get('v') === 'table' ? 'table' : 'graph'
    this.node = values.get('n') ?? ''
    this.part = PARTS.find(part => part === values.get('part')) ?? 'details'
    this.#rest = [...values].filter(([key]) => !own.has(key))
  }

  /** Keeps in the address what is shown. */
  write(): void {
    const values = new URLSearchParams()
    if (this.name) values.set('p', this.name)
    if (this.shows !== 'graph') values.set('v', this.shows)
    if (this.node) values.set('n', this.node)
    if (this.part !== 'details') values.set('part', this.part)
    this.#rest.forEach(([key, value]) => values.append(key, value))
    history.replaceState(history.state, '', `/_ui/pipelines${values.size > 0 ? `?${values}` : ''}`)
  }
}

/** The lines of an answer that comes by and by, each as JSON. */
export async function* lines<T>(path: string, body: unknown, signal: AbortSignal): AsyncGenerator<T> {
  const response = await fetch(path, { method: 'POST', body: JSON.stringify(body), signal, headers: { 'content-type': 'application/json' } }).catch((error: unknown) => {
    if (isAbort(error)) throw error
    throw new Refused(0, String(error))
  })
  if (!response.ok || !response.body) {
    const answer = (await response.json().catch(() => null)) as { error?: { reason?: string } } | null
    throw new Refused(response.status, answer?.error?.reason ?? response.statusText)
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return
    const parts = (rest + value).split('\n')
    rest = parts.pop() ?? ''
    for (const part of parts) if (part) yield JSON.parse(part) as T
  }
}
