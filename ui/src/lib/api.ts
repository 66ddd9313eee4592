/** Requests to the server that the page is from. */

import type { Json } from './query'

export interface Hit { _index: string, _id: string, _source: Record<string, unknown>, sort?: (number | string | null)[] }
export interface Found {
  took: number
  hits: { total?: { value: number }, hits: Hit[] }
  aggregations?: Record<string, Aggregation>
}
export interface Bucket extends Record<string, unknown> { key: number | string, key_as_string?: string, doc_count: number }
export interface Aggregation {
  buckets?: Bucket[]
  sum_other_doc_count?: number
  doc_count_error_upper_bound?: number
  doc_count?: number
  value?: number | null
}

/** What the server refused, in its words; `status` 0: it did not answer. */
export class Refused extends Error {
  constructor(readonly status: number, reason: string) {
    super(reason)
  }

  /** Whether it may pass by itself: the server does not answer, or the cluster behind it does not. */
  get passes(): boolean {
    return [0, 502, 503, 504].includes(this.status)
  }
}

interface Failure { reason?: string, caused_by?: Failure, failed_shards?: { reason?: Failure }[] }

/** The reason that says most: where all shards failed, what the first of them says; without what stands below its first line. */
function reasonOf(error: Failure | string | undefined): string | undefined {
  if (typeof error !== 'object') return error
  const shard = error.failed_shards?.[0]?.reason
  if (shard) return [shard.reason, shard.caused_by?.reason?.split('\n')[0]].filter(Boolean).join(': ')
  return error.reason
}

/** Asks; fails with `Refused`, or with an `AbortError` that nobody needs to be told. */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const text = await send(method, path, body, signal)
  try {
    return JSON.parse(text) as T
  } catch {
    throw new Refused(502, text.slice(0, 300))
  }
}

/** The text of an answer, which is JSON. */
async function send(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<string> {
  let response: Response
  try {
    response = await fetch(path, {
      method, signal: signal ?? null, body: body === undefined ? null : JSON.stringify(body),
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
    })
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error
    throw new Refused(0, String(error))
  }
  const text = await response.text()
  if (!response.ok) {
    let answer: unknown
    try {
      answer = JSON.parse(text)
    } catch {
      throw new Refused(response.status, text.slice(0, 300) || response.statusText)
    }
    throw new Refused(response.status, reasonOf((answer as { error?: Failure | string }).error) ?? response.statusText)
  }
  return text
}

export const isAbort = (error: unknown) => error instanceof DOMException && error.name === 'AbortError'

const at = (index: string, route: string) => `/${index.split(',').map(encodeURIComponent).join(',').replaceAll('%2A', '*')}/${route}`

export const search = (index: string, body: Json, signal?: AbortSignal, timeout = '') =>
  ask<Found>('POST', at(index, `_search${timeout && `?timeout=${timeout}`}`), body, signal)
/** An event as it is stored, to the last sign: what is parsed and written again has lost the blanks, and digits of long numbers. */
export async function stored(index: string, id: string, signal: AbortSignal): Promise<string> {
  const text = await send('POST', at(index, '_search'), { query: { ids: { values: [id] } }, size: 1 }, signal)
  // Of the only hit it is the last member.
  const name = '"_source":'
  const begins = text.indexOf(name)
  if (begins < 0) throw new Refused(404, '')
  return text.slice(begins + name.length, text.lastIndexOf('}]}}'))
}
export const count = async (index: string, query: Json, signal?: AbortSignal) =>
  (await ask<{ count: number }>('POST', at(index, '_count'), { query }, signal)).count
export const fieldCaps = (index: string, signal?: AbortSignal) =>
  ask<Parameters<typeof import('./fields').readCaps>[0] & { indices: string[] }>('GET', at(index, '_field_caps?fields=*'), undefined, signal)

/** The newest events that came after that place; waits some twenty seconds for them. */
export const tail = (index: string, query: Json, size: number, after: number | null, wait: boolean, signal: AbortSignal) => {
  const place = (after === null ? '' : `&after=${after}`) + (wait ? '&follow=true' : '')
  return ask<Found>('POST', `/_logpond/tail?newest=true&index=${encodeURIComponent(index)}&size=${size}${place}`, { query }, signal)
}

export interface Pattern { template: string, count: number, first: number, last: number, bars: number[] }
export interface PatternsFound {
  total: number
  /** The newest of all, where there are more than one answer is made of. */
  looked_at: number
  found: number
  unclustered: number
  others: { patterns: number, events: number }
  patterns: Pattern[]
}
/** What kinds of messages there are. */
export const patterns = (index: string, query: Json, size: number, signal: AbortSignal) =>
  ask<PatternsFound>('POST', `/_logpond/patterns?index=${encodeURIComponent(index)}&size=${size}`, { query }, signal)

export interface Export { index: string, as: 'csv' | 'ndjson' | 'text', fields: string[], order: 'asc' | 'desc', query: Json }

/** Where a browser or curl gets the file. */
export function exportAddress({ index, as, fields, order, query }: Export): string {
  const values: Record<string, string> = { index, as, order, source: JSON.stringify({ query }), source_content_type: 'application/json' }
  if (fields.length > 0) values.fields = fields.join(',')
  return `/_logpond/export?${new URLSearchParams(values)}`
}

/** What the page keeps on the server, in an index of its own. */
export interface Saved { kind: 'search' | 'state', title: string, address: string, updated: string }

export const saved = {
  async list(): Promise<(Saved & { id: string })[]> {
    try {
      const found = await search('.ui', { query: { term: { kind: 'search' } }, size: 1000 })
      return found.hits.hits.map(hit => ({ ...(hit._source as unknown as Saved), id: hit._id }))
    } catch (error) {
      // The index comes with the first thing that is saved.
      if (error instanceof Refused && error.status === 404) return []
      throw error
    }
  },
  get: async (id: string) => (await ask<{ _source: Saved }>('GET', `/.ui/_doc/${encodeURIComponent(id)}`))._source,
  put: (id: string, object: Saved) => ask<Json>('PUT', `/.ui/_doc/${encodeURIComponent(id)}?refresh=true`, object),
  remove: (id: string) => ask<Json>('DELETE', `/.ui/_doc/${encodeURIComponent(id)}?refresh=true`),
}
