/** What needs no browser: addresses, times, texts, completion, languages. */

import { expect, test } from '@playwright/test'
import assert from 'node:assert/strict'
import { place, rank } from '../src/lib/complete'
import { flatten, readCaps, streamOf, valueOf } from '../src/lib/fields'
import { kqlValue, placeOf } from '../src/lib/query'
import { START, VIEWS, read, readFilter, write, writeFilter, type Filter, type State } from '../src/lib/state'
import { line, spans, visible } from '../src/lib/text'
import { DAY, HOUR, MINUTE, askedLength, barLength, barStarts, fromLocal, intoBars, offset, parseTime, resolve, show, showOffset } from '../src/lib/time'
import en from '../src/locales/en'
import ko from '../src/locales/ko'
import zh from '../src/locales/zh'
import { changes, keyOf, layout, view, type Spent, type Stats, type Tapped } from '../src/pipelines/view'

/** Numbers that look random and are the same each time (mulberry32). */
function seeded(seed: number) {
  return (below: number) => {
    seed = (seed + 0x6d2b79f5) | 0
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

const LETTERS = ['a', 'B', '0', ' ', '+', '&', '=', '%', ',', '\\', '"', ':', '#', '*', '~', '^', '-', '.', '/', '<', '>', '(', 'é', '한', '🦆', '\n', '\u202e']

test('states come back from their addresses', () => {
  const random = seeded(1)
  const text = (most: number) => Array.from({ length: random(most) }, () => LETTERS[random(LETTERS.length)]).join('')
  const name = () => 'f' + text(6)
  for (let n = 0; n < 1000; n++) {
    const values = [null, text(8), random(1000) - 500, random(1000) / 7, random(2) === 0]
    const filters = Array.from({ length: random(4) }, () => {
      const filter: Filter = { field: name(), value: values[random(5)]! }
      if (typeof filter.value === 'string' && random(3) === 0) filter.template = true
      if (random(2)) filter.negate = true
      if (random(2)) filter.disabled = true
      if (random(2)) filter.pinned = true
      return filter
    })
    const columns = Array.from({ length: random(5) }, () => ({ name: name(), width: random(2) ? 40 + random(900) : 0 }))
    const state: State = {
      ...START, index: 'logs-' + text(5), query: text(20), language: random(2) ? 'kql' : 'lucene', filters, columns,
      from: 'now-1h', to: random(2) ? 'now' : '2026-11-21T10:00:00.000Z', zone: random(2) ? 'Asia/Seoul' : '',
      sort: { field: name(), descending: random(2) === 0 }, split: text(4), refresh: random(100), lines: [1, 3, 8][random(3)]!, view: VIEWS[random(3)]!, open: text(9),
      rest: [['zz', text(5)]],
    }
    assert.deepEqual(read(write(state)), state)
  }
})

test('addresses of any kind are read without a fault', () => {
  const random = seeded(2)
  for (let n = 0; n < 1000; n++) {
    const keys = ['i', 'q', 'l', 'f', 't', 'tz', 'c', 'w', 's', 'h', 'r', 'n', 'o', 'v', 'x']
    const address = Array.from({ length: random(9) }, () => `${keys[random(keys.length)]}=${Array.from({ length: random(9) }, () => LETTERS[random(LETTERS.length)]).join('')}`).join('&')
    const state = read(address)
    assert.deepEqual(read(write(state)), state)
  }
})

test('an address can be read by people', () => {
  const state = read('i=logs-*&q=level:error and host:web*&f=+host.name:"web-01"&f=-status:200&c=@timestamp,level&w=190,70'.replaceAll('+', '%2B'))
  expect(write(state)).toBe('i=logs-*&q=level:error+and+host:web*&f=%2Bhost.name:%22web-01%22&f=-status:200&c=@timestamp,level&w=190,70'.replace('i=logs-*&', ''))
})

test('filters', () => {
  for (const [text, filter] of [
    ['+a:"x"', { field: 'a', value: 'x' }],
    ['-a.b:5', { field: 'a.b', value: 5, negate: true }],
    ['^~-a:*', { field: 'a', value: null, negate: true, disabled: true, pinned: true }],
    ['+"a b:c":true', { field: 'a b:c', value: true }],
  ] as [string, Filter][]) {
    expect(writeFilter(filter)).toBe(text)
    expect(readFilter(text)).toEqual(filter)
  }
  expect(readFilter('+a:plain')).toEqual({ field: 'a', value: 'plain' })
  for (const wrong of ['', 'a', '+a', '+:5', '+a:[1]', '+a:{}']) expect(readFilter(wrong), wrong).toBeNull()
})

test('times that are meant', () => {
  const now = Date.UTC(2026, 10, 21, 13, 45, 30, 500)
  for (const [text, zone, up, expected] of [
    ['now', 'UTC', false, '2026-11-21T13:45:30.500Z'],
    ['now-15m', 'UTC', false, '2026-11-21T13:30:30.500Z'],
    ['now/d', 'UTC', false, '2026-11-21T00:00:00.000Z'],
    ['now/d', 'UTC', true, '2026-11-22T00:00:00.000Z'],
    ['now/d', 'Asia/Seoul', false, '2026-11-20T15:00:00.000Z'],
    ['now-1d/d', 'Asia/Seoul', true, '2026-11-20T15:00:00.000Z'],
    ['now/w', 'UTC', false, '2026-11-16T00:00:00.000Z'],
    ['now/M', 'UTC', false, '2026-11-01T00:00:00.000Z'],
    ['now/y', 'UTC', true, '2027-01-01T00:00:00.000Z'],
    ['2026-11-21T10:00:00Z', 'Asia/Seoul', false, '2026-11-21T10:00:00.000Z'],
    ['2026-11-21 10:00', 'Asia/Seoul', false, '2026-11-21T01:00:00.000Z'],
    ['2026-11-21T10:00:00.123456789+09:00', 'UTC', false, '2026-11-21T01:00:00.123Z'],
    ['1795268730500', 'UTC', false, '2026-11-21T13:45:30.500Z'],
  ] as const) {
    const at = resolve(text, now, zone, up)
    expect(at === null ? at : new Date(at).toISOString(), `${text} ${zone}`).toBe(expected)
  }
  for (const wrong of ['', 'yesterday', 'now-', 'now-5x', '2026-02-30', '2026-11-21 25:00', '12:00']) expect(resolve(wrong, now, 'UTC'), wrong).toBeNull()
})

test('clocks that are changed', () => {
  // New York: 2026-03-08 02:00 → 03:00, 2026-11-01 02:00 → 01:00.
  const zone = 'America/New_York'
  expect(showOffset(Date.UTC(2026, 2, 8, 6, 59), zone)).toBe('−05:00')
  expect(showOffset(Date.UTC(2026, 2, 8, 7, 0), zone)).toBe('−04:00')
  expect(show(Date.UTC(2026, 2, 8, 7, 0), zone, 's')).toBe('2026-03-08 03:00:00')
  for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 7 * HOUR + 13 * MINUTE) {
    for (const zone of ['America/New_York', 'Asia/Kathmandu', 'Australia/Lord_Howe', 'Asia/Seoul', 'UTC']) {
      const local = at + offset(at, zone)
      const back = fromLocal(local, zone)
      // An hour that clocks show twice has two times.
      assert.equal(back + offset(back, zone), local)
      assert.equal(parseTime(show(at, zone), zone), back)
    }
  }
  // Days begin at midnight of the zone, so one has 23 hours and one has 25.
  const days = (from: number, to: number) => {
    const starts = barStarts(from, to, DAY, zone)
    return starts.slice(1).map((start, n) => (start - starts[n]!) / HOUR)
  }
  expect(days(Date.UTC(2026, 2, 7, 5), Date.UTC(2026, 2, 11, 4))).toEqual([24, 23, 24])
  expect(days(Date.UTC(2026, 9, 31, 4), Date.UTC(2026, 10, 4, 5))).toEqual([24, 25, 24])
})

test('bars hold each event once', () => {
  const random = seeded(3)
  for (let n = 0; n < 400; n++) {
    const from = Date.UTC(2026, 0, 1) + random(2 ** 31)
    const to = from + 1 + random(2 ** 31) * (random(2) ? 1 : 40)
    const zone = ['UTC', 'Asia/Seoul', 'America/New_York', 'Asia/Kathmandu'][random(4)]!
    const length = barLength(from, to)
    const starts = barStarts(from, to, length, zone)
    assert.ok(starts.length > 0 && starts.length <= 115 && starts[0]! <= from)
    assert.ok(starts.every((start, n) => n === 0 || start > starts[n - 1]!))
    const asked = askedLength(length, from, to)
    const counted = new Map<number, number>()
    for (let event = 0; event < 200; event++) {
      const key = Math.floor((from + random(2 ** 31) % (to - from)) / asked) * asked
      counted.set(key, (counted.get(key) ?? 0) + 1)
    }
    const bars = intoBars(starts, [...counted].sort((a, b) => a[0] - b[0]).map(([key, doc_count]) => ({ key, doc_count })))
    assert.equal(bars.reduce((a, b) => a + b, 0), 200)
  }
})

test('texts are made visible', () => {
  expect(visible('a\u0000b\u001bc\u202ed\u200be')).toBe('a␀b␛c⟪U+202E⟫d⟪U+200B⟫e')
  expect(visible('a\tb\n한국어 🦆')).toBe('a\tb\n한국어 🦆')
  expect(line('\u001b[31mred\u001b[0m\nnext')).toBe('red ↵ next')
  expect(line('x'.repeat(20_000_000)).length).toBe(4098)
  expect(spans('a\u001b[1;31mb\u001b[0mc')).toEqual([{ text: 'a', style: '' }, { text: 'b', style: 'ansi-red ansi-bold' }, { text: 'c', style: '' }])
  expect(spans('\u001b[999mx\u001b[2Jy').map(span => span.text).join('')).toBe('x␛[2Jy')
})

test('fields and streams', () => {
  const caps = { fields: { _id: { _id: { type: '_id', aggregatable: true } }, a: { text: { type: 'text', aggregatable: false } }, 'a.keyword': { keyword: { type: 'keyword', aggregatable: true } }, n: { long: { type: 'long', aggregatable: true } }, message: { text: { type: 'text', aggregatable: false } } } }
  expect(readCaps(caps)).toEqual([
    { name: 'a', kind: 'text', counted: 'a.keyword' }, { name: 'message', kind: 'text', counted: null }, { name: 'n', kind: 'number', counted: 'n' },
  ])
  const source = { a: { b: 1, 'c.d': [2] }, 'x.y': 3, z: null }
  expect(['a.b', 'a.c.d', 'x.y', 'a.q', 'z'].map(name => valueOf(source, name))).toEqual([1, [2], 3, undefined, null])
  expect(flatten(source)).toEqual([['a.b', 1], ['a.c.d', [2]], ['x.y', 3]])
  expect(streamOf({ host: { name: 'h' }, log: { file: { path: '/p' } }, level: 'x' }).map(({ field }) => field)).toEqual(['host.name', 'log.file.path'])
  expect(streamOf({ level: 'x' })).toEqual([])
})

test('what may stand at the cursor', () => {
  const at = (marked: string) => {
    const cursor = marked.indexOf('|')
    const found = place(marked.replace('|', ''), cursor)
    return found && `${found.kind}${found.kind === 'value' ? ` of ${found.field}` : ''}: ${found.prefix} ${found.from}-${found.to}`
  }
  for (const [marked, expected] of [
    ['|', 'field:  0-0'],
    ['lev|', 'field: lev 0-3'],
    ['lev|el: x', 'field: lev 0-5'],
    ['level |', 'operator:  6-6'],
    ['level:|', 'value of level:  6-6'],
    ['level: er|', 'value of level: er 7-9'],
    ['level: "two wo|', 'value of level: two wo 7-14'],
    ['level: error |', 'operator:  13-13'],
    ['level: error an|', 'operator: an 13-15'],
    ['level: error and |', 'field:  17-17'],
    ['not |', 'field:  4-4'],
    ['status >= 5|', 'value of status: 5 10-11'],
    ['level: (error or |', 'value of level:  17-17'],
    ['(a: 1 or b|', 'field: b 9-10'],
  ] as const) expect(at(marked), marked).toBe(expected)
  const random = seeded(4)
  for (let n = 0; n < 5000; n++) {
    const text = Array.from({ length: random(14) }, () => ['a', ' ', ':', '(', ')', '"', '\\', 'and ', '>=', '<', '*', '한'][random(12)]).join('')
    const found = place(text, random(text.length + 1))
    if (found) assert.ok(found.from <= found.to && found.to <= text.length)
  }
  expect(rank(['message', 'log.level', 'level', 'sublevel'], 'lev', 9)).toEqual(['level', 'log.level', 'sublevel'])
})

test('values and places in KQL', () => {
  for (const [value, expected] of [['web_1', 'web_1'], ['web-01', '"web-01"'], ['two words', '"two words"'], ['a"b\\', '"a\\"b\\\\"'], ['and', '"and"'], ['/a/b.c', '"/a/b.c"'], ['*', '"*"'], ['', '""']]) expect(kqlValue(value!)).toBe(expected)
  expect(placeOf('expected a value at byte 5', 'é: (')).toBe(4)
  expect(placeOf('something else', 'x')).toBeNull()
})

for (const [name, texts] of Object.entries({ ko, zh })) {
  test(`every text is there in ${name}`, () => {
    expect(Object.keys(texts).sort()).toEqual(Object.keys(en).sort())
    const marks = (text: string) => (text.match(/\{\w+\}/g) ?? []).sort()
    for (const [key, text] of Object.entries(en)) {
      const own = texts[key as keyof typeof en]
      expect(own.trim(), key).not.toBe('')
      expect(marks(own), key).toEqual(marks(text))
      expect(`${key} ${own}`).not.toMatch(/�|\?\?/)
    }
  })
}

/** How a pond stands at some second of its life; the same as in the tests of `top`. */
function stats(at: number, change: (pipeline: any) => void = () => {}): Stats {
  const spent = (work: number, blocked: number, idle: number): Spent => ({ work_ns: work * 1e6, blocked_ns: blocked * 1e6, idle_ns: idle * 1e6, paused_ns: 0 })
  const pipeline = {
    name: 'main',
    ledger: { read: 1000 * at, bytes: 200_000 * at, made: 0, dropped: 10 * at, merged: 0, open: 0, failed: 0, outputs: [{ name: 'es', elsewhere: 90 * at }] },
    inputs: [{ name: 'nginx', kind: 'file', events: 1000 * at, bytes: 200_000 * at, reading: true, trouble: null, spent: spent(1000 * at, 0, 0), files: 1000, files_behind: 2, bytes_behind: 5_000_000, seconds_behind: 0, unreadable: 0 }],
    workers: { threads: 2, spent: spent(400 * at, 0, 1600 * at) },
    filters: [{ at: 'filters.0', kind: 'grok', sampled_ns: 3000 * at, samples: at }, { at: 'filters.1', kind: 'set', sampled_ns: 1000 * at, samples: at }],
    queue: { events: 100 * at, bytes: 20_000 * at, bytes_max: 1_000_000, events_max: 0, oldest_seconds: 12 },
    outputs: [{
      name: 'es', kind: 'elasticsearch', state: 'ok' as const, delivered: 900 * at, in_flight: 100 * at, dead: 3, retries: 7, behind_bytes: 20_000 * at,
      oldest_seconds: 12 as number | null, trouble: null, last_trouble: null, last_refusal: null, spent: spent(500 * at, 0, 500 * at),
    }],
  }
  change(pipeline)
  return {
    version: '0', pid: 7, time_ns: 0, uptime_seconds: at, process: { cpu_seconds: at / 2, rss_bytes: 1 }, memory: { used_bytes: 0, limit_bytes: 1 }, reloads: { last: null },
    dead_letters: { letters: 3, bytes: 1, bytes_max: 2 }, pipelines: [pipeline],
  }
}

test('D1: rates are of the time between two looks', () => {
  const { cpu, bottleneck, pipelines: [pipeline] } = view(stats(10), stats(12))
  assert.deepEqual([cpu, bottleneck, pipeline!.readRate, pipeline!.inputs[0]!.bytesRate, pipeline!.deliveredRate, pipeline!.droppedRate], [50, null, 1000, 200_000, 900, 10])
  assert.deepEqual([pipeline!.workers.busy, pipeline!.outputs[0]!.busy, pipeline!.outputs[0]!.meantRate], [20, 50, 900])
  assert.deepEqual(pipeline!.filters.map(filter => [filter.share, filter.nsPerEvent]), [[75, 3000], [25, 1000]])
  assert.deepEqual([pipeline!.queue!.fill, pipeline!.queue!.secondsToFull], [24, 38])
  // One that was started anew counts from the beginning.
  assert.equal(view({ ...stats(1000), pid: 1 }, stats(5)).pipelines[0]!.readRate, 1000)
  // The store delivers in steps.
  const store = (at: number, delivered: number) => stats(at, pipeline => Object.assign(pipeline.outputs[0], { kind: 'store', delivered }))
  assert.equal(view(store(25, 500), store(30, 500), store(10, 100)).pipelines[0]!.outputs[0]!.rate, 20)
})

test('D2: who holds up the others is named, by the rules of top', () => {
  const trouble = { text: 'connection refused', since: '' }
  const spent = (at: number, work: number, blocked: number) => ({ work_ns: work * at, blocked_ns: blocked * at, idle_ns: (100 - work - blocked) * at, paused_ns: 0 })
  const cases: [(pipeline: any, at: number) => void, string, string][] = [
    [p => Object.assign(p.outputs[0], { state: 'waiting', trouble }), 'outputs.es', 'cannotDeliver'],
    [p => (p.queue.bytes_max = 240_000), 'outputs.es', 'queueFull'],
    [p => (p.queue.events_max = 1200), 'outputs.es', 'queueFull'],
    [(p, at) => (p.workers.spent = spent(at, 10, 40)), 'queue', 'diskWaits'],
    [(p, at) => Object.assign(p, { queue: null, workers: { threads: 1, spent: spent(at, 10, 40) } }), 'outputs.es', 'filtersWait'],
    [(p, at) => (p.workers.spent = spent(at, 90, 0)), 'filters', 'filtersBusy'],
    [(p, at) => (p.outputs[0].spent = spent(at, 95, 0)), 'outputs.es', 'busy'],
    [(p, at) => (p.outputs[0].delivered = 500 * at), 'outputs.es', 'slower'],
    [p => (p.inputs[0].seconds_behind = 5), 'inputs.nginx', 'reads'],
    [p => (p.inputs[0].events_behind = 50_000), 'inputs.nginx', 'reads'],
    [p => Object.assign(p.inputs[0], { seconds_behind: 5, trouble }), 'inputs.nginx', 'cannotRead'],
  ]
  for (const [change, node, kind] of cases) {
    const found = view(stats(10, p => change(p, 10)), stats(12, p => change(p, 12))).bottleneck
    assert.deepEqual([found?.node, found?.why.kind], [node, kind])
  }
})

test('D1: parts stand where they stand, whatever the numbers are', () => {
  const many = (pipeline: any) => {
    pipeline.inputs = [1, 2, 3].map(n => ({ ...pipeline.inputs[0], name: `in${n}` }))
    pipeline.outputs = [1, 2, 3, 4].map(n => ({ ...pipeline.outputs[0], name: `out${n}` }))
  }
  const [a, b] = [view(stats(1, many), stats(2, many)), view(stats(1, many), stats(9, many))].map(view => layout(view.pipelines[0]!))
  assert.deepEqual(a!.nodes, b!.nodes)
  assert.deepEqual([a!.nodes.length, a!.edges.length], [9, 3 + 1 + 4])
  for (const one of a!.nodes) {
    for (const other of a!.nodes) {
      const apart = one === other || one.x + one.width <= other.x || other.x + other.width <= one.x || one.y + one.height <= other.y || other.y + other.height <= one.y
      assert.ok(apart, `${one.id} ${other.id}`)
    }
  }
})

test('D4: what a filter did to an event', () => {
  assert.deepEqual(changes([['a', 1], ['b', 'x'], ['c', [1]]], [['b', 'y'], ['c', [1]], ['d', true]]), [
    { field: 'b', kind: 'other', value: 'y' }, { field: 'd', kind: 'new', value: true }, { field: 'a', kind: 'gone', value: 1 },
  ])
  const tapped = (event: Record<string, unknown>): Tapped => ({ pipeline: 'main', point: 'x', event })
  assert.equal(keyOf(tapped({ log: { offset: 3 }, message: 'a' })), keyOf(tapped({ log: { offset: 3 }, message: 'b' })))
  assert.notEqual(keyOf(tapped({ log: { offset: 3, file: { path: 'x' } } })), keyOf(tapped({ log: { offset: 3, file: { path: 'y' } } })))
  assert.equal(keyOf(tapped({ message: 'a' })), keyOf(tapped({ message: 'a', more: 1 })))
})
