/** The fields of the indices, and the values of events. */

export type Kind = 'text' | 'keyword' | 'number' | 'date' | 'boolean' | 'other'

export interface Field {
  name: string
  kind: Kind
  /** The name to count and sort by; none where that is not possible. */
  counted: string | null
}

interface Caps { fields: Record<string, Record<string, { type: string, aggregatable: boolean }>> }

const KINDS: Record<string, Kind> = {
  text: 'text', match_only_text: 'text', keyword: 'keyword', constant_keyword: 'keyword', wildcard: 'keyword', ip: 'keyword',
  long: 'number', integer: 'number', short: 'number', byte: 'number', double: 'number', float: 'number',
  half_float: 'number', scaled_float: 'number', unsigned_long: 'number',
  date: 'date', date_nanos: 'date', boolean: 'boolean',
}

/** The answer of `_field_caps` as a list by name; a keyword beside a text is one field with it. */
export function readCaps(caps: Caps): Field[] {
  const found: Field[] = []
  for (const [name, types] of Object.entries(caps.fields)) {
    if (name.startsWith('_')) continue
    const parent = name.endsWith('.keyword') ? name.slice(0, -'.keyword'.length) : ''
    if (parent && caps.fields[parent]) continue
    const caption = Object.values(types)[0]
    if (!caption || caption.type === 'object' || caption.type === 'nested') continue
    const own = Object.values(types).every(type => type.aggregatable) ? name : null
    const beside = caps.fields[`${name}.keyword`] ? `${name}.keyword` : null
    found.push({ name, kind: KINDS[caption.type] ?? 'other', counted: own ?? beside })
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The value of a field, whose name may have dots that are names of objects or not. */
export function valueOf(source: Record<string, unknown>, name: string): unknown {
  if (name in source) return source[name]
  for (let dot = name.indexOf('.'); dot >= 0; dot = name.indexOf('.', dot + 1)) {
    const inner = source[name.slice(0, dot)]
    if (inner && typeof inner === 'object' && !Array.isArray(inner)) {
      const found = valueOf(inner as Record<string, unknown>, name.slice(dot + 1))
      if (found !== undefined) return found
    }
  }
  return undefined
}

/** All values of an event by dotted names, in order of the names. */
export function flatten(source: Record<string, unknown>): [string, unknown][] {
  const found: [string, unknown][] = []
  const walk = (prefix: string, value: unknown) => {
    if (value && typeof value === 'object' && !Array.isArray(value)) {
      for (const [name, inner] of Object.entries(value)) walk(prefix ? `${prefix}.${name}` : name, inner)
    } else if (value !== null) found.push([prefix, value])
  }
  walk('', source)
  return found.sort((a, b) => (a[0] < b[0] ? -1 : 1))
}

/** Fields that tell which stream of lines an event is of, the first group that it has. */
const STREAMS = [
  ['kubernetes.namespace', 'kubernetes.pod.name', 'kubernetes.container.name'],
  ['host.name', 'log.file.path'],
  ['log.file.path'],
  ['host.name', 'systemd.unit'],
  ['host.name', 'service.name'],
  ['service.name'],
  ['host.name'],
]

/** What stays the same for all lines of the stream that an event is of. */
export function streamOf(source: Record<string, unknown>): { field: string, value: string }[] {
  for (const names of STREAMS) {
    const values = names.map(field => ({ field, value: plainValue(valueOf(source, field)) }))
    if (values.every(({ value }) => value !== '')) return values
  }
  return []
}

const plainValue = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '')
