/**
 * Events as they come. Each request is held by the server until there is something; it brings
 * the newest, and says how many came, so what was not shown is known: shown + skipped = came.
 * Nothing waits for the page.
 */

import { Refused, isAbort, tail, type Hit } from '../lib/api'
import type { Json } from '../lib/query'

/** Events of one request. */
const BATCH = 500
/** Events that are kept. */
export const RING = 10_000
/** Time between two requests, so that the list is drawn a few times a second at most. */
const PAUSE = 250
/** The rate is that of the last seconds. */
const RATE_SECONDS = 5

export class Live {
  rows = $state.raw<Hit[]>([])
  shown = $state(0)
  skipped = $state(0)
  rate = $state(0)
  paused = $state(false)
  error = $state.raw<Refused | null>(null)
  /** How many of the first were let go: so that a list can stay where it is. */
  dropped = $state(0)

  #abort = new AbortController()
  #after: number | null = null
  #first = true
  #arrivals: { at: number, count: number }[] = []
  #stopped = false

  constructor(readonly index: string, readonly query: Json) {
    void this.#follow()
  }

  stop(): void {
    this.#stopped = true
    this.#abort.abort()
  }

  pause(): void {
    this.paused = true
    this.#abort.abort()
  }

  /** Goes on; what came meanwhile and is not shown is counted as skipped. */
  resume(): void {
    if (!this.paused) return
    this.paused = false
    void this.#follow()
  }

  times(): { from: number, to: number } | null {
    const times = this.rows.map(row => Date.parse(String(row._source['@timestamp']))).filter(time => !Number.isNaN(time))
    return times.length > 0 ? { from: times.reduce((a, b) => Math.min(a, b)), to: times.reduce((a, b) => Math.max(a, b)) } : null
  }

  async #follow(): Promise<void> {
    const abort = (this.#abort = new AbortController())
    while (!this.#stopped && !abort.signal.aborted) {
      const begun = performance.now()
      try {
        const first = this.#first
        const found = await tail(this.index, this.query, BATCH, this.#after, !first, abort.signal)
        if (abort.signal.aborted) return
        this.error = null
        this.#first = false
        this.#take(found.hits.hits, found.hits.total?.value ?? 0, first)
      } catch (error) {
        if (isAbort(error)) return
        if (!(error instanceof Refused)) throw error
        this.error = error
        await sleep(2000)
      }
      await sleep(Math.max(0, PAUSE - (performance.now() - begun)))
    }
  }

  #take(hits: Hit[], came: number, first: boolean): void {
    const last = hits.at(-1)?.sort?.at(-1)
    if (typeof last === 'number') this.#after = last
    // What was there before is the begin of the list, not news.
    const counted = first ? hits.length : came
    if (!first) this.#arrivals.push({ at: performance.now(), count: counted })
    this.#arrivals = this.#arrivals.filter(({ at }) => at > performance.now() - RATE_SECONDS * 1000)
    this.rate = Math.round(this.#arrivals.reduce((sum, { count }) => sum + count, 0) / RATE_SECONDS)
    if (hits.length === 0) return
    this.shown += hits.length
    this.skipped += counted - hits.length
    const rows = [...this.rows, ...hits]
    this.dropped += Math.max(0, rows.length - RING)
    this.rows = rows.slice(-RING)
  }
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))
