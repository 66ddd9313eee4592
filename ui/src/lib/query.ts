/** From what is shown to what is asked, in Elasticsearch's language. */

import type { Field } from './fields'
import type { Filter, State } from './state'

export type Json = Record<string, unknown>
export interface Span { from: number, to: number }

/** One filter; a text is compared as a phrase, everything else as it is. */
export function filterQuery(filter: Filter, fields: Map<string, Field>): Json {
  const { field, value } = filter
  if (value === null) return { exists: { field } }
  if (filter.template) return { template: { [field]: value } }
  const known = fields.get(field)
  if (known?.kind === 'text' && !known.counted) return { match_phrase: { [field]: value } }
  return { term: { [known?.counted ?? field]: value } }
}

/** The question of a state: what was typed, the filters, and the time unless it is left out. */
export function question(
  state: Pick<State, 'query' | 'language' | 'filters'>, fields: Map<string, Field>, span: Span | null,
): Json {
  const filter: Json[] = []
  const mustNot: Json[] = []
  const query = state.query.trim()
  if (query) {
    filter.push(state.language === 'kql' ? { kql: { query } } : { query_string: { query, default_field: 'message' } })
  }
  for (const one of state.filters) {
    if (!one.disabled) (one.negate ? mustNot : filter).push(filterQuery(one, fields))
  }
  if (span) filter.push({ range: { '@timestamp': { gte: span.from, lt: span.to, format: 'epoch_millis' } } })
  return { bool: { filter, must_not: mustNot } }
}

/** The order; events that are equal in it keep the order in which they came. */
export function order(sort: State['sort'], fields: Map<string, Field>): Json[] {
  const by = sort.descending ? 'desc' : 'asc'
  const name = fields.get(sort.field)?.counted ?? sort.field
  return [{ [name]: { order: by, unmapped_type: 'keyword' } }, { _doc: { order: by } }]
}

/** A value as KQL writes it. One with signs is quoted: without, each of its words would do. */
export function kqlValue(value: string): string {
  return /^\w+$/.test(value) && !/^(and|or|not)$/i.test(value) ? value : `"${value.replace(/[\\"]/g, '\\$&')}"`
}

/** The place that an error names, as a position in the text: `at byte 12` is ours, `at line 1, column 12.` Lucene's. */
export function placeOf(reason: string, query: string): number | null {
  const lucene = /at line (\d+), column (\d+)/.exec(reason)
  if (lucene) {
    const before = query.split('\n').slice(0, Number(lucene[1]) - 1)
    return before.reduce((sum, line) => sum + line.length + 1, Number(lucene[2]))
  }
  const found = /at byte (\d+)/.exec(reason)
  if (!found) return null
  return new TextDecoder().decode(new TextEncoder().encode(query).slice(0, Number(found[1]))).length
}
