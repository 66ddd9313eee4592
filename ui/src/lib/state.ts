/** What Discover shows, and its address: plain keys in a fixed order, those of others kept. */

export interface Filter {
  field: string
  /** `null`: the field has any value. */
  value: string | number | boolean | null
  negate?: boolean
  /** The value is a template of texts: `*` is any word. */
  template?: boolean
  disabled?: boolean
  /** Stays when another search is opened. */
  pinned?: boolean
}

export interface Column { name: string, /** In pixels; 0: by its content. */ width: number }

export const VIEWS = ['docs', 'patterns', 'stats'] as const
export type View = (typeof VIEWS)[number]

export interface State {
  index: string
  query: string
  language: 'kql' | 'lucene'
  filters: Filter[]
  from: string
  to: string
  /** A name of the IANA's database; empty: that of the browser. */
  zone: string
  /** None: those that suit the fields. */
  columns: Column[]
  sort: { field: string, descending: boolean }
  split: string
  /** Seconds; 0: not. */
  refresh: number
  /** How many lines of text a row has. */
  lines: number
  /** What the place of the rows has. */
  view: View
  /** `INDEX/ID` of the event that is open. */
  open: string
  /** What others put there. */
  rest: [string, string][]
}

export const START: Readonly<State> = {
  index: 'logs-*', query: '', language: 'kql', filters: [], from: 'now-15m', to: 'now', zone: '', columns: [],
  sort: { field: '@timestamp', descending: true }, split: '', refresh: 0, lines: 1, view: 'docs', open: '', rest: [],
}

/** `^~-host.name:"web-01"`: pinned, disabled, negated; `+message:~"took * ms"` is a template. */
export function writeFilter({ field, value, negate, disabled, pinned, template }: Filter): string {
  const name = /^[\w@.\-/]+$/.test(field) ? field : JSON.stringify(field)
  const marks = (pinned ? '^' : '') + (disabled ? '~' : '') + (negate ? '-' : '+')
  return `${marks}${name}:${template ? '~' : ''}${value === null ? '*' : JSON.stringify(value)}`
}

export function readFilter(text: string): Filter | null {
  const found = /^(\^?)(~?)([+-])("(?:[^"\\]|\\.)*"|[^:"]+):([\s\S]+)$/.exec(text)
  if (!found) return null
  const [, pinned, disabled, sign, name, written] = found
  const template = /^~"[\s\S]*"$/.test(written!)
  const value = written === '*' ? null : tolerant(template ? written!.slice(1) : written!)
  if (value !== null && !['string', 'number', 'boolean'].includes(typeof value)) return null
  const filter: Filter = { field: name!.startsWith('"') ? String(tolerant(name!)) : name!, value: value as Filter['value'] }
  if (template) filter.template = true
  if (sign === '-') filter.negate = true
  if (disabled) filter.disabled = true
  if (pinned) filter.pinned = true
  return filter
}

/** JSON, or else the text itself: people write addresses by hand. */
function tolerant(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** Encodes as little as an address needs, so that it can be read. */
const encode = (text: string) =>
  encodeURIComponent(text.toWellFormed()).replace(/%(?:3A|2C|40|2F)/g, decodeURIComponent).replaceAll('%20', '+')

/** The address of a state, without `?`; what is as at the start is left out. */
export function write(state: State): string {
  const parts: [string, string][] = []
  const put = (key: string, value: string, start: string) => value !== start && parts.push([key, value])
  put('i', state.index, START.index)
  put('q', state.query, '')
  put('l', state.language, START.language)
  for (const filter of state.filters) parts.push(['f', writeFilter(filter)])
  put('t', `${state.from}..${state.to}`, `${START.from}..${START.to}`)
  put('tz', state.zone, '')
  put('c', state.columns.map(column => column.name.replace(/[\\,]/g, '\\$&')).join(','), '')
  put('w', state.columns.map(column => column.width || '').join(','), state.columns.map(() => '').join(','))
  put('s', (state.sort.descending ? '-' : '+') + state.sort.field, '-@timestamp')
  put('h', state.split, '')
  put('r', String(state.refresh), '0')
  put('n', String(state.lines), '1')
  put('v', state.view, START.view)
  put('o', state.open, '')
  return [...parts, ...state.rest].map(([key, value]) => `${encode(key)}=${encode(value)}`).join('&')
}

export function read(address: string): State {
  const state: State = { ...START, filters: [], columns: [], sort: { ...START.sort }, rest: [] }
  let widths: number[] = []
  for (const [key, value] of new URLSearchParams(address)) {
    const number = Number(value)
    switch (key) {
      case 'i': state.index = value; break
      case 'q': state.query = value; break
      case 'l': state.language = value === 'lucene' ? 'lucene' : 'kql'; break
      case 'f': {
        const filter = readFilter(value)
        if (filter) state.filters.push(filter)
        break
      }
      case 't': {
        const [from, to] = value.split('..')
        if (from && to) [state.from, state.to] = [from, to]
        break
      }
      case 'tz': state.zone = isZone(value) ? value : ''; break
      case 'c':
        state.columns = (value.match(/(?:[^\\,]|\\.)+/g) ?? []).map(name => ({ name: name.replace(/\\(.)/g, '$1'), width: 0 }))
        break
      case 'w': widths = value.split(',').map(Number); break
      case 's': state.sort = { field: value.replace(/^[+-]/, '') || '@timestamp', descending: value[0] !== '+' }; break
      case 'h': state.split = value; break
      case 'r': if (number >= 1 && number <= 86_400) state.refresh = number; break
      case 'n': if ([1, 3, 8].includes(number)) state.lines = number; break
      case 'v': state.view = VIEWS.find(view => view === value) ?? START.view; break
      case 'o': state.open = value; break
      default: state.rest.push([key, value])
    }
  }
  state.columns.forEach((column, n) => {
    const width = widths[n] ?? 0
    if (width >= 40 && width <= 4000) column.width = width
  })
  return state
}

export function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}
