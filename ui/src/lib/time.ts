/** Times: `now-15m`, zones, the length of bars. Everything is milliseconds since 1970 UTC. */

export const SECOND = 1000
export const MINUTE = 60 * SECOND
export const HOUR = 60 * MINUTE
export const DAY = 24 * HOUR

const UNITS: Record<string, number> = { s: SECOND, m: MINUTE, h: HOUR, d: DAY, w: 7 * DAY, M: 30 * DAY, y: 365 * DAY }

/** `now-15m`, `now-1d/d`, an ISO time, or milliseconds; `null` for what is none of these. */
export function resolve(text: string, now: number, zone: string, up = false): number | null {
  const math = /^now(?:([+-])(\d+)([smhdwMy]))?(?:\/([mhdwMy]))?$/.exec(text.trim())
  if (math) {
    const [, sign, count, unit, round] = math
    let at = now
    if (sign) at += (sign === '-' ? -1 : 1) * Number(count) * UNITS[unit!]!
    return round ? floorTo(at, round, zone, up) : at
  }
  if (/^\d{10,}$/.test(text)) return Number(text)
  return parseTime(text, zone)
}

/** Down to the begin of the unit in the zone, or up to its end. */
function floorTo(at: number, unit: string, zone: string, up: boolean): number {
  const local = new Date(at + offset(at, zone))
  if (unit === 'm') local.setUTCSeconds(0, 0)
  else if (unit === 'h') local.setUTCMinutes(0, 0, 0)
  else local.setUTCHours(0, 0, 0, 0)
  if (unit === 'w') local.setUTCDate(local.getUTCDate() - ((local.getUTCDay() + 6) % 7))
  if (unit === 'M' || unit === 'y') local.setUTCDate(1)
  if (unit === 'y') local.setUTCMonth(0)
  if (up) {
    if (unit === 'm') local.setUTCMinutes(local.getUTCMinutes() + 1)
    else if (unit === 'h') local.setUTCHours(local.getUTCHours() + 1)
    else if (unit === 'M') local.setUTCMonth(local.getUTCMonth() + 1)
    else if (unit === 'y') local.setUTCFullYear(local.getUTCFullYear() + 1)
    else local.setUTCDate(local.getUTCDate() + (unit === 'w' ? 7 : 1))
  }
  return fromLocal(local.getTime(), zone)
}

const formats = new Map<string, Intl.DateTimeFormat>()
const offsets = new Map<string, number>()

/** What is added to UTC in this zone at this time. */
export function offset(at: number, zone: string): number {
  if (zone === 'UTC') return 0
  const quarter = Math.floor(at / (15 * MINUTE))
  const key = zone + quarter
  const known = offsets.get(key)
  if (known !== undefined) return known
  let format = formats.get(zone)
  if (!format) {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone, hourCycle: 'h23', year: 'numeric', month: 'numeric', day: 'numeric',
      hour: 'numeric', minute: 'numeric', second: 'numeric',
    })
    formats.set(zone, format)
  }
  const parts: Record<string, number> = {}
  for (const { type, value } of format.formatToParts(quarter * 15 * MINUTE)) parts[type] = Number(value)
  const local = Date.UTC(parts.year!, parts.month! - 1, parts.day!, parts.hour!, parts.minute!, parts.second!)
  if (offsets.size > 5000) offsets.clear()
  offsets.set(key, local - quarter * 15 * MINUTE)
  return local - quarter * 15 * MINUTE
}

/** The time at which clocks of the zone show `local`; where they skip it, the time after the gap. */
export function fromLocal(local: number, zone: string): number {
  const first = local - offset(local, zone)
  const second = local - offset(first, zone)
  return second + offset(second, zone) === local ? second : first
}

const pad = (value: number, digits: number) => String(value).padStart(digits, '0')

/** `2026-11-21 14:03:07.412` as clocks of the zone show it. */
export function show(at: number, zone: string, digits: 'ms' | 's' | 'm' = 'ms'): string {
  const text = new Date(at + offset(at, zone)).toISOString().replace('T', ' ')
  return text.slice(0, digits === 'ms' ? 23 : digits === 's' ? 19 : 16)
}

/** `+09:00` */
export function showOffset(at: number, zone: string): string {
  const minutes = Math.round(offset(at, zone) / MINUTE)
  const size = Math.abs(minutes)
  return `${minutes < 0 ? '−' : '+'}${pad(Math.floor(size / 60), 2)}:${pad(size % 60, 2)}`
}

/** An ISO time; one without an offset is of the zone. */
export function parseTime(text: string, zone: string): number | null {
  const found = /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d:?\d\d)?$/.exec(text.trim())
  if (!found) return null
  const [, year, month, day, hour = '0', minute = '0', second = '0', part = '', shift] = found
  const local = Date.UTC(+year!, +month! - 1, +day!, +hour, +minute, +second, +part.padEnd(3, '0').slice(0, 3))
  // What rolled over, such as the 31st of February, is no time.
  if (new Date(local).getUTCDate() !== +day! || +hour > 23 || +minute > 59 || +second > 59) return null
  if (!shift) return fromLocal(local, zone)
  if (shift === 'Z') return local
  const size = (+shift.slice(1, 3) * 60 + +shift.slice(-2)) * MINUTE
  return local - (shift[0] === '-' ? -size : size)
}

const LENGTHS = [
  1, 10, 100, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE,
  30 * MINUTE, HOUR, 3 * HOUR, 12 * HOUR, DAY, 7 * DAY, 30 * DAY, 365 * DAY,
]
const BARS = 110

/** The length of a bar, so that a range has some 40 to 110 of them. */
export function barLength(from: number, to: number): number {
  return LENGTHS.find(length => (to - from) / length <= BARS) ?? Math.ceil((to - from) / BARS)
}

/** What the server is asked for: up to an hour the bars themselves, which begin at the same
 * moments in every zone; else shorter ones, which `bars` puts together by the zone's clocks. */
export function askedLength(length: number, from: number, to: number): number {
  if (length <= 30 * MINUTE) return length
  // A quarter of an hour fits all zones of today.
  return [15 * MINUTE, 30 * MINUTE].find(asked => (to - from) / asked <= 20_000) ?? DAY
}

/** The beginnings of all bars that touch the range. Bars of hours and days begin as the zone's
 * clocks say, so one of them is longer or shorter where these are changed. */
export function barStarts(from: number, to: number, length: number, zone: string): number[] {
  const starts: number[] = []
  if (length <= 30 * MINUTE) {
    for (let at = Math.floor(from / length) * length; at < to; at += length) starts.push(at)
    return starts
  }
  // Weeks begin on a Monday; 1970 began on a Thursday.
  const shift = length === 7 * DAY ? -3 * DAY : 0
  let local = Math.floor((from + offset(from, zone) - shift) / length) * length + shift
  for (;;) {
    const at = fromLocal(local, zone)
    if (at >= to) return starts
    if (at > (starts.at(-1) ?? -Infinity)) starts.push(at)
    local += length
  }
}

/** Sums up what the server counted into bars. */
export function intoBars(starts: number[], counted: { key: number, doc_count: number }[]): number[] {
  const bars = new Array<number>(starts.length).fill(0)
  let bar = 0
  for (const { key, doc_count } of counted) {
    while (bar + 1 < starts.length && starts[bar + 1]! <= key) bar++
    if (starts.length > 0) bars[bar]! += doc_count
  }
  return bars
}

/** A length in the words of the language: `30 s`, `5 min`. */
export function showLength(length: number, language: string): string {
  const [unit, size] = length >= DAY ? ['day', DAY] : length >= HOUR ? ['hour', HOUR]
    : length >= MINUTE ? ['minute', MINUTE] : length >= SECOND ? ['second', SECOND] : ['millisecond', 1]
  const format = new Intl.NumberFormat(language, { style: 'unit', unit: unit as string, unitDisplay: 'short', maximumFractionDigits: 1 })
  return format.format(length / (size as number))
}
