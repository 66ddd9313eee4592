/**
 * What Discover knows: its state, which is its address, and what was found for it.
 *
 * Rows, total and histogram are three requests, so that each is shown, fails and is tried
 * again alone. A newer search ends those of the one before.
 */

import { Refused, count, fieldCaps, isAbort, saved, search, type Bucket, type Hit } from '../lib/api'
import { readCaps, type Field } from '../lib/fields'
import { order, question, type Span } from '../lib/query'
import { START, read, write, type Column, type Filter, type State } from '../lib/state'
import { askedLength, barLength, barStarts, intoBars, resolve } from '../lib/time'
import { Live } from './live.svelte'

/** Rows that one request brings. */
const PAGE = 500
/** Rows that the list holds. */
export const ROWS_MAX = 50_000
/** Values by which bars are split; the rest is one. */
const SPLITS = 5
/** Longer addresses are kept on the server, and a short one leads there. */
const ADDRESS_MAX = 2048
const SNAPSHOTS = 10

export interface Series { name: string | null, counts: number[] }
export interface Histogram { starts: number[], length: number, to: number, series: Series[], total: number }
interface Results {
  span: Span
  rows: Hit[]
  complete: boolean
  total: number | null
  histogram: Histogram | null
  took: number
}

export class Discover {
  state = $state<State>({ ...START })
  fields = $state.raw<Field[]>([])
  byName = $derived(new Map(this.fields.map(field => [field.name, field])))
  zone = $derived(this.state.zone || Intl.DateTimeFormat().resolvedOptions().timeZone)
  columns = $derived<Column[]>(this.state.columns.length > 0 ? this.state.columns : this.#suitable())

  span = $state.raw<Span>({ from: 0, to: 0 })
  rows = $state.raw<Hit[]>([])
  complete = $state(false)
  total = $state<number | null>(null)
  histogram = $state.raw<Histogram | null>(null)
  took = $state(0)
  begun = $state<number | null>(null)
  loadingMore = $state(false)
  /** What is shown is of the search before. */
  stale = $state(false)
  error = $state.raw<Refused | null>(null)
  histogramError = $state.raw<Refused | null>(null)
  live = $state.raw<Live | null>(null)
  /** Counts up with each search that has ended. */
  runs = $state(0)

  #abort = new AbortController()
  #knownIndex = ''
  #snapshots = new Map<number, Results>()
  #key = 0
  /** What addresses are short forms of. */
  #long = new Map<string, string>()

  /** Reads the address and searches. */
  async start(): Promise<void> {
    this.#key = (history.state as { key?: number } | null)?.key ?? 0
    history.replaceState({ key: this.#key }, '')
    this.state = await this.#read()
    await this.run()
  }

  /** Goes to where the browser went, without a search where the results are still here. */
  async revisit(): Promise<void> {
    this.#keep()
    this.stopLive(false)
    this.#key = (history.state as { key?: number } | null)?.key ?? 0
    this.state = await this.#read()
    const results = this.#snapshots.get(this.#key)
    if (!results) return this.run()
    this.#abort.abort()
    this.begun = null
    this.stale = false
    this.error = this.histogramError = null
    Object.assign(this, results)
    this.runs++
  }

  async #read(): Promise<State> {
    const address = location.search.slice(1)
    const short = new URLSearchParams(address).get('st')
    if (!short) return read(address)
    try {
      const long = (await saved.get(`st-${short}`)).address
      this.#long.set(short, long)
      return read(long)
    } catch (error) {
      if (error instanceof Refused) this.error = error
      return read('')
    }
  }

  /** Changes the state and its address; what is asked differently is asked again. */
  change(change: Partial<State>, how: 'push' | 'replace' = 'push'): void {
    const before = this.#asked()
    const address = write(this.state)
    this.#keep()
    Object.assign(this.state, change)
    if (write(this.state) !== address) {
      if (how === 'push') this.#key = Date.now()
      void this.#address(how)
    }
    if (before !== this.#asked()) {
      this.stopLive(false)
      void this.run()
    }
  }

  /** The part of the state on which the results depend. */
  #asked(): string {
    const { columns: _, lines: __, open: ___, refresh: ____, view: _____, zone, ...asked } = this.state
    // The zone matters to bars and to times such as now/d.
    return JSON.stringify({ ...asked, zone, filters: asked.filters.filter(filter => !filter.disabled).map(({ pinned: _, ...filter }) => filter) })
  }

  async #address(how: 'push' | 'replace'): Promise<void> {
    let address = write(this.state)
    if (address.length > ADDRESS_MAX) address = await this.#shorten(address)
    const url = `/_ui/discover${address && `?${address}`}`
    if (how === 'push') history.pushState({ key: this.#key }, '', url)
    else history.replaceState({ key: this.#key }, '', url)
  }

  /** The short form of an address: what it is made of tells its name. Where it cannot be kept,
   * the long one is used. */
  async #shorten(address: string): Promise<string> {
    const sum = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(address)))
    const short = Array.from(sum.slice(0, 6), byte => byte.toString(16).padStart(2, '0')).join('')
    try {
      if (!this.#long.has(short)) await saved.put(`st-${short}`, { kind: 'state', title: '', address, updated: new Date().toISOString() })
    } catch (error) {
      if (error instanceof Refused) return address
      throw error
    }
    this.#long.set(short, address)
    return `st=${short}`
  }

  /** The address of this state for others, with times as they are or fixed. */
  async link(fixed: boolean, open = this.state.open): Promise<string> {
    const times = fixed ? { from: new Date(this.span.from).toISOString(), to: new Date(this.span.to).toISOString() } : {}
    // What the browser's own zone is, others cannot know.
    let address = write({ ...this.state, ...times, zone: this.zone, open, refresh: 0 })
    if (address.length > ADDRESS_MAX) address = await this.#shorten(address)
    return `${location.origin}/_ui/discover?${address}`
  }

  #keep(): void {
    if (this.begun !== null || this.stale || this.runs === 0) return
    const { span, rows, complete, total, histogram, took } = this
    this.#snapshots.set(this.#key, { span, rows, complete, total, histogram, took })
    const oldest = this.#snapshots.keys().next().value
    if (this.#snapshots.size > SNAPSHOTS && oldest !== undefined) this.#snapshots.delete(oldest)
  }

  /** Searches anew, with the time of now. */
  async run(): Promise<void> {
    this.#abort.abort()
    const abort = (this.#abort = new AbortController())
    const now = Date.now()
    const from = resolve(this.state.from, now, this.zone) ?? now - 900_000
    const to = resolve(this.state.to, now, this.zone, true) ?? now
    const span = { from, to: Math.max(to, from + 1) }
    this.begun = performance.now()
    this.stale = true
    try {
      await this.#learnFields(abort.signal)
      const rows = this.#ask(abort.signal, 'error', async () => {
        const found = await search(this.state.index, this.#page(span, null), abort.signal)
        if (abort.signal.aborted) return
        this.span = span
        this.rows = found.hits.hits
        this.complete = found.hits.hits.length < PAGE
        this.took = Math.round(performance.now() - (this.begun ?? 0))
        this.stale = false
      })
      const total = this.#ask(abort.signal, 'error', async () => {
        this.total = await count(this.state.index, question(this.state, this.byName, span), abort.signal)
      })
      const histogram = this.#ask(abort.signal, 'histogramError', async () => {
        this.histogram = await this.#bars(span, abort.signal)
      })
      await Promise.all([rows, total, histogram])
    } catch (error) {
      if (error instanceof Refused) this.error = error
      else if (!isAbort(error)) throw error
    } finally {
      if (this.#abort === abort) {
        this.begun = null
        this.runs++
      }
    }
  }

  /** Does a part of the search; its error is its own. */
  async #ask(signal: AbortSignal, place: 'error' | 'histogramError', work: () => Promise<void>): Promise<void> {
    try {
      await work()
      if (!signal.aborted && (place !== 'error' || !this.stale)) this[place] = null
    } catch (error) {
      if (isAbort(error) || signal.aborted) return
      if (!(error instanceof Refused)) throw error
      this[place] = error
      this.stale = place === 'error' || this.stale
    }
  }

  async retryHistogram(): Promise<void> {
    await this.#ask(this.#abort.signal, 'histogramError', async () => {
      this.histogram = await this.#bars(this.span, this.#abort.signal)
    })
  }

  /** Ends the search that runs; what was shown before stays. */
  cancel(): void {
    this.#abort.abort()
    this.begun = null
  }

  async #learnFields(signal: AbortSignal): Promise<void> {
    if (this.#knownIndex === this.state.index && this.fields.length > 0) {
      void this.#renewFields(signal)
      return
    }
    const index = this.state.index
    this.#setFields(await fieldCaps(index, signal))
    this.#knownIndex = index
  }

  /** New fields may have come. Nothing waits for them, and nothing is wrong without them. */
  async #renewFields(signal: AbortSignal): Promise<void> {
    try {
      this.#setFields(await fieldCaps(this.state.index, signal))
    } catch (error) {
      if (!isAbort(error) && !(error instanceof Refused)) throw error
    }
  }

  #setFields(caps: Awaited<ReturnType<typeof fieldCaps>>): void {
    const fields = readCaps(caps)
    if (fields.length !== this.fields.length || fields.some((field, n) => field.name !== this.fields[n]!.name || field.kind !== this.fields[n]!.kind)) {
      this.fields = fields
    }
  }

  #page(span: Span, after: Hit | null) {
    const body = {
      query: question(this.state, this.byName, span), sort: order(this.state.sort, this.byName), size: PAGE, track_total_hits: false,
    }
    return after ? { ...body, search_after: after.sort } : body
  }

  /** Brings the next rows, if there are any. */
  async more(): Promise<void> {
    if (this.complete || this.loadingMore || this.stale || this.begun !== null || this.rows.length >= ROWS_MAX) return
    const last = this.rows.at(-1)
    if (!last) return
    this.loadingMore = true
    const signal = this.#abort.signal
    await this.#ask(signal, 'error', async () => {
      const found = await search(this.state.index, this.#page(this.span, last), signal)
      if (signal.aborted) return
      this.rows = [...this.rows, ...found.hits.hits]
      this.complete = found.hits.hits.length < PAGE
    })
    this.loadingMore = false
  }

  async #bars(span: Span, signal: AbortSignal): Promise<Histogram> {
    const length = barLength(span.from, span.to)
    const times = { date_histogram: { field: '@timestamp', fixed_interval: interval(askedLength(length, span.from, span.to)), min_doc_count: 1 } }
    const by = this.byName.get(this.state.split)?.counted
    const aggs = by ? { times, split: { terms: { field: by, size: SPLITS, shard_size: 1000 }, aggs: { times } } } : { times }
    const found = await search(this.state.index, { size: 0, query: question(this.state, this.byName, span), aggs }, signal)
    const starts = barStarts(span.from, span.to, length, this.zone)
    const counted = (buckets: unknown) => intoBars(starts, buckets as { key: number, doc_count: number }[])
    const all = counted(found.aggregations?.times?.buckets ?? [])
    const total = all.reduce((sum, count) => sum + count, 0)
    const split = (found.aggregations?.split?.buckets ?? []) as (Bucket & { times: { buckets: Bucket[] } })[]
    const series: Series[] = split.map(bucket => ({ name: String(bucket.key_as_string ?? bucket.key), counts: counted(bucket.times.buckets) }))
    const rest = all.map((count, n) => series.reduce((left, { counts }) => left - counts[n]!, count))
    if (series.length === 0 || rest.some(count => count > 0)) series.push({ name: null, counts: rest })
    return { starts, length, to: span.to, series, total }
  }

  #suitable(): Column[] {
    const names = ['@timestamp', ['level', 'log.level'], ['host.name', 'host'], 'message']
    const found = names.flatMap(name => [name].flat().find(name => this.byName.has(name)) ?? [])
    if (!found.includes('message')) found.push('_source')
    return found.map(name => ({ name, width: 0 }))
  }

  setColumns(columns: Column[]): void {
    this.change({ columns }, 'replace')
  }

  toggleColumn(name: string): void {
    const columns = this.columns.filter(column => column.name !== '_source')
    const without = columns.filter(column => column.name !== name)
    this.setColumns(without.length < columns.length ? without : [...columns, { name, width: 0 }])
  }

  addFilter(filter: Filter): void {
    const others = this.state.filters.filter(own => own.field !== filter.field || own.value !== filter.value)
    this.change({ filters: [...others, filter] })
  }

  setFilter(at: number, filter: Filter | null): void {
    const filters = this.state.filters.flatMap((own, n) => (n !== at ? own : filter ?? []))
    this.change({ filters })
  }

  setTime(from: string, to: string): void {
    if (from === this.state.from && to === this.state.to) void this.run()
    else this.change({ from, to })
  }

  /** Moves the range by a part of its length. */
  shift(part: number): void {
    const by = (this.span.to - this.span.from) * part
    this.#fix(this.span.from + by, this.span.to + by)
  }

  zoom(factor: number): void {
    const { from, to } = this.span
    const half = Math.max(((to - from) * factor) / 2, 5)
    const middle = (from + to) / 2
    this.#fix(middle - half, middle + half)
  }

  #fix(from: number, to: number): void {
    this.setTime(new Date(Math.round(from)).toISOString(), new Date(Math.round(to)).toISOString())
  }

  brush(from: number, to: number): void {
    this.#fix(from, to)
  }

  startLive(): void {
    if (this.live) return
    this.cancel()
    this.live = new Live(this.state.index, question(this.state, this.byName, null))
  }

  /** Ends following; the times of what was seen become the range. */
  stopLive(fix = true): void {
    const live = this.live
    if (!live) return
    live.stop()
    this.live = null
    const times = live.times()
    if (fix && times) this.#fix(times.from, times.to + 1)
    else if (fix) void this.run()
  }
}

const interval = (length: number) => `${length}ms`
