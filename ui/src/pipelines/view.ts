/** What the page Pipelines shows: two looks at the counters of the pond, and what was between them. */

/** A thread's time since the start, by what it did. */
export interface Spent { idle_ns: number, work_ns: number, blocked_ns: number, paused_ns: number }
export interface Said { text: string, since: string }

export interface InputStats {
  name: string, kind: string, events: number, bytes: number, reading: boolean, trouble: Said | null, spent: Spent
  files: number, files_behind: number, bytes_behind: number, seconds_behind: number, unreadable: number, events_behind?: number | null
}
export interface FilterStats { at: string, kind: string, sampled_ns: number, samples: number }
export interface QueueStats { events: number, bytes: number, bytes_max: number, events_max: number, oldest_seconds: number | null }
export interface OutputStats {
  name: string, kind: string, state: 'ok' | 'waiting' | 'refused', delivered: number, in_flight: number, dead: number, retries: number
  behind_bytes: number | null, oldest_seconds: number | null, trouble: Said | null, last_trouble: Said | null, last_refusal: Said | null, spent: Spent
}
export interface LedgerView {
  read: number, bytes: number, made: number, dropped: number, merged: number, open: number, failed: number
  /** `elsewhere`: events that rules sent to other outputs. */
  outputs: { name: string, elsewhere: number }[]
}
export interface PipelineStats {
  name: string, ledger: LedgerView, inputs: InputStats[], workers: { threads: number, spent: Spent }, filters: FilterStats[]
  queue: QueueStats | null, outputs: OutputStats[]
}
/** The answer of `/_logpond/stats`. */
export interface Stats {
  version: string, pid: number, time_ns: number, uptime_seconds: number
  process: { cpu_seconds: number, rss_bytes: number }
  memory: { used_bytes: number, limit_bytes: number }
  dead_letters: { letters: number, bytes: number, bytes_max: number }
  reloads: { last: Reload | null }
  pipelines: PipelineStats[]
}
/** How a changed config was taken up, or why it was not. */
export interface Reload { time: string, ok: boolean, added: string[], changed: string[], removed: string[], problems: string[], warnings: string[] }

export interface InputView extends InputStats { rate: number, bytesRate: number, blocked: number }
export interface FilterView extends FilterStats { share: number, nsPerEvent: number | null }
export interface QueueView extends QueueStats { fill: number, /** At the rate of now; none where it does not grow. */ secondsToFull: number | null }
export interface OutputView extends OutputStats { /** Delivered. */ rate: number, /** Meant for it. */ meantRate: number, deadRate: number, busy: number }
export interface Bottleneck { pipeline: string, node: string, why: Why }
/** Why a part holds up the others, with its numbers; the page has the words. */
export type Why =
  | { kind: 'cannotDeliver' | 'cannotRead', text: string }
  | { kind: 'queueFull', fill: number }
  | { kind: 'filtersWait' | 'diskWaits' | 'filtersBusy' | 'busy', percent: number }
  | { kind: 'slower', rate: number, meant: number }
  | { kind: 'reads' }
export interface PipelineView {
  name: string
  inputs: InputView[], filters: FilterView[], queue: QueueView | null, outputs: OutputView[]
  workers: { threads: number, busy: number, blocked: number }
  readRate: number, bytesRate: number, deliveredRate: number, droppedRate: number, deadRate: number, failedRate: number, behindSeconds: number
  dropped: number, failed: number
}
export interface View { seconds: number, cpu: number, bottleneck: Bottleneck | null, pipelines: PipelineView[] }

/** From there on a part is busy, waited for, or full, in percent; as the command `top` has it. */
const BUSY = 80
const BLOCKED = 25
const FULL = 95
/** An output whose oldest event waits for longer, in seconds, may be one that falls behind; the
 * store syncs in steps. */
const WAITS = 5
const STORE_WAITS = 60
/** And it is one when it delivers less than this part of what is meant for it. */
const KEEPS_UP = 0.9

/** What happened between two looks; one at a pond that was started anew counts from its start.
 * The store says that it holds events when it has synced them, in steps: its rate is that since
 * an `older` look. */
export function view(before: Stats, now: Stats, older = before): View {
  const same = before.pid === now.pid && before.uptime_seconds < now.uptime_seconds
  const seconds = Math.max(now.uptime_seconds - (same ? before.uptime_seconds : 0), 0.001)
  const steps = (name: string, output: OutputStats) => {
    if (!same || output.kind !== 'store' || older.uptime_seconds >= now.uptime_seconds) return null
    const then = older.pipelines.find(then => then.name === name)?.outputs.find(then => then.name === output.name)
    return then ? Math.max(output.delivered - then.delivered, 0) / (now.uptime_seconds - older.uptime_seconds) : null
  }
  const pipelines = now.pipelines.map(own => pipelineView(same ? before.pipelines.find(then => then.name === own.name) : undefined, own, seconds, steps))
  const cpu = ((now.process.cpu_seconds - (same ? before.process.cpu_seconds : 0)) / seconds) * 100
  return { seconds, cpu: Math.max(cpu, 0), pipelines, bottleneck: pipelines.map(bottleneck).find(found => found !== null) ?? null }
}

function pipelineView(before: PipelineStats | undefined, now: PipelineStats, seconds: number, steps: (pipeline: string, output: OutputStats) => number | null): PipelineView {
  const rate = (count: number, then: number | undefined) => Math.max(count - (then ?? 0), 0) / seconds
  const inputs = now.inputs.map(own => {
    const then = before?.inputs.find(then => then.name === own.name)
    const { blocked } = shares(then?.spent, own.spent)
    return { ...own, rate: rate(own.events, then?.events), bytesRate: rate(own.bytes, then?.bytes), blocked: own.reading ? blocked : 0 }
  })
  const outputs = now.outputs.map(own => {
    const then = before?.outputs.find(then => then.name === own.name)
    const passed = ({ ledger }: PipelineStats) =>
      ledger.read + ledger.made - ledger.dropped - ledger.merged - (ledger.outputs.find(output => output.name === own.name)?.elsewhere ?? 0)
    const meantRate = rate(passed(now), before && passed(before))
    return { ...own, meantRate, rate: steps(now.name, own) ?? rate(own.delivered, then?.delivered), deadRate: rate(own.dead, then?.dead), busy: shares(then?.spent, own.spent).work }
  })
  const taken = now.filters.map((own, n) => {
    const then = before?.filters[n]?.at === own.at ? before.filters[n] : undefined
    return { ns: Math.max(own.sampled_ns - (then?.sampled_ns ?? 0), 0), samples: Math.max(own.samples - (then?.samples ?? 0), 0) }
  })
  const all = taken.reduce((sum, { ns }) => sum + ns, 0)
  const filters = now.filters.map((own, n) => {
    const { ns, samples } = taken[n]!
    return { ...own, share: all === 0 ? 0 : (ns / all) * 100, nsPerEvent: samples > 0 ? ns / samples : null }
  })
  const workers = shares(before?.workers.spent, now.workers.spent)
  return {
    name: now.name, inputs, filters, outputs, queue: now.queue && queueView(before?.queue ?? null, now.queue, seconds),
    workers: { threads: now.workers.threads, busy: workers.work, blocked: workers.blocked },
    readRate: rate(now.ledger.read, before?.ledger.read), bytesRate: rate(now.ledger.bytes, before?.ledger.bytes),
    deliveredRate: outputs.reduce((sum, output) => sum + output.rate, 0), deadRate: outputs.reduce((sum, output) => sum + output.deadRate, 0),
    droppedRate: rate(now.ledger.dropped, before?.ledger.dropped), failedRate: rate(now.ledger.failed, before?.ledger.failed),
    dropped: now.ledger.dropped, failed: now.ledger.failed,
    behindSeconds: Math.max(0, ...now.inputs.map(input => input.seconds_behind), ...now.outputs.map(output => output.oldest_seconds ?? 0)),
  }
}

function queueView(before: QueueStats | null, now: QueueStats, seconds: number): QueueView {
  const part = (used: number, limit: number) => (limit === 0 ? 0 : (used / limit) * 100)
  const fill = Math.max(part(now.bytes, now.bytes_max), part(now.events, now.events_max))
  const left = (used: number, then: number | undefined, limit: number) => {
    const growth = then === undefined ? 0 : (used - then) / seconds
    return growth > 0 && limit > 0 ? Math.max(limit - used, 0) / growth : Infinity
  }
  const full = Math.min(left(now.bytes, before?.bytes, now.bytes_max), left(now.events, before?.events, now.events_max))
  return { ...now, fill, secondsToFull: Number.isFinite(full) ? full : null }
}

/** What part of the time between was spent on something, in percent. */
function shares(before: Spent | undefined, now: Spent): { work: number, blocked: number } {
  const took = (key: keyof Spent) => Math.max(now[key] - (before?.[key] ?? 0), 0)
  const all = took('idle_ns') + took('work_ns') + took('blocked_ns') + took('paused_ns')
  return all === 0 ? { work: 0, blocked: 0 } : { work: (took('work_ns') / all) * 100, blocked: (took('blocked_ns') / all) * 100 }
}

/** Looks from the end for who holds up the others, by the rules of `top`; and names an output that
 * falls behind before the queue is full. */
export function bottleneck(pipeline: PipelineView): Bottleneck | null {
  const named = (node: string, why: Why): Bottleneck => ({ pipeline: pipeline.name, node, why })
  const { inputs, outputs, queue, workers } = pipeline
  const most = <T>(all: T[], by: (one: T) => number) => all.reduce<T | undefined>((best, one) => (best === undefined || by(one) >= by(best) ? one : best), undefined)
  const stuck = outputs.find(output => output.in_flight > 0 && output.state === 'waiting' && output.trouble)
  if (stuck) return named(`outputs.${stuck.name}`, { kind: 'cannotDeliver', text: stuck.trouble!.text })
  const slowest = most(outputs, output => output.in_flight)
  if (queue && queue.fill >= FULL && slowest) return named(`outputs.${slowest.name}`, { kind: 'queueFull', fill: queue.fill })
  const busiest = most(outputs, output => output.busy)
  if (workers.blocked >= BLOCKED) {
    if (!queue && busiest) return named(`outputs.${busiest.name}`, { kind: 'filtersWait', percent: workers.blocked })
    return named('queue', { kind: 'diskWaits', percent: workers.blocked })
  }
  if (workers.busy >= BUSY) return named('filters', { kind: 'filtersBusy', percent: workers.busy })
  const held = inputs.some(input => input.blocked >= BLOCKED)
  if (busiest && busiest.busy >= BUSY && (held || busiest.in_flight > 0)) return named(`outputs.${busiest.name}`, { kind: 'busy', percent: busiest.busy })
  const slow = outputs.filter(output => (output.oldest_seconds ?? 0) > (output.kind === 'store' ? STORE_WAITS : WAITS) && output.rate + output.deadRate < output.meantRate * KEEPS_UP)
  const last = most(slow, output => output.in_flight)
  if (last) return named(`outputs.${last.name}`, { kind: 'slower', rate: last.rate + last.deadRate, meant: last.meantRate })
  const behind = most(inputs.filter(input => input.reading && (input.seconds_behind > 1 || (input.events_behind ?? 0) > 1000)), input => input.bytes_behind)
  if (!behind) return null
  return named(`inputs.${behind.name}`, behind.trouble ? { kind: 'cannotRead', text: behind.trouble.text } : { kind: 'reads' })
}

export interface Node { id: string, kind: 'input' | 'filters' | 'queue' | 'output', name: string, x: number, y: number, width: number, height: number }
export interface Edge { from: string, to: string, path: string, rate: number }
export interface Layout { nodes: Node[], edges: Edge[], width: number, height: number }

const WIDTH = 218
const GAP = 68
const ROW = 88
const SPACE = 14

/** Where the parts of a pipeline stand: inputs, filters, the queue and outputs from left to right.
 * It depends on what there is alone, so that nothing moves while the numbers change. */
export function layout(pipeline: PipelineView): Layout {
  const filters = { id: 'filters', kind: 'filters' as const, name: '', height: 62 + Math.min(pipeline.filters.length, 8) * 19 + (pipeline.filters.length > 8 ? 19 : 0) }
  const columns: Omit<Node, 'x' | 'y' | 'width'>[][] = [
    pipeline.inputs.map(input => ({ id: `inputs.${input.name}`, kind: 'input', name: input.name, height: ROW })),
    [filters],
    pipeline.queue ? [{ id: 'queue', kind: 'queue', name: '', height: ROW + 20 }] : [],
    pipeline.outputs.map(output => ({ id: `outputs.${output.name}`, kind: 'output', name: output.name, height: ROW })),
  ]
  const shown = columns.filter(column => column.length > 0)
  const tall = shown.map(column => column.reduce((sum, node) => sum + node.height + SPACE, -SPACE))
  const height = Math.max(...tall)
  const placed = shown.map((column, n) => {
    let y = (height - tall[n]!) / 2
    return column.map(node => {
      const at = { ...node, x: n * (WIDTH + GAP), y, width: WIDTH }
      y += node.height + SPACE
      return at
    })
  })
  const nodes = placed.flat()
  const edges: Edge[] = []
  for (let n = 0; n + 1 < placed.length; n++) {
    for (const from of placed[n]!) for (const to of placed[n + 1]!) edges.push({ from: from.id, to: to.id, path: curve(from, to), rate: rateOf(pipeline, from, to) })
  }
  return { nodes, edges, width: shown.length * (WIDTH + GAP) - GAP, height }
}

function rateOf(pipeline: PipelineView, from: Node, to: Node): number {
  if (from.kind === 'input') return pipeline.inputs.find(input => input.name === from.name)?.rate ?? 0
  if (to.kind === 'output') return pipeline.outputs.find(output => output.name === to.name)?.meantRate ?? 0
  return Math.max(pipeline.readRate - pipeline.droppedRate, 0)
}

function curve(from: Node, to: Node): string {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2]
  return `M${x1} ${y1}C${x1 + GAP / 2} ${y1} ${x2 - GAP / 2} ${y2} ${x2} ${y2}`
}

/** An edge is as wide as much passes: a step for each factor of ten. */
export const edgeWidth = (rate: number) => (rate <= 0 ? 1 : Math.min(1.5 + Math.log10(1 + rate) * 1.3, 8))

/** An event as a tap shows it. */
export interface Tapped { pipeline: string, point: string, event: Record<string, unknown>, reason?: string, dropped?: boolean }
export interface Pair { key: string, before: Tapped | null, after: Tapped | null, changes: Change[] }
export interface Change { field: string, kind: 'new' | 'gone' | 'other', value: unknown }

/** What tells an event on both sides of a filter: the place that it was read from. Where it has
 * none, its message. */
export function keyOf({ event }: Tapped): string {
  const log = event.log as { offset?: unknown, file?: { path?: unknown } } | undefined
  const host = event.host as { name?: unknown } | undefined
  if (log?.offset !== undefined) return JSON.stringify([host?.name, log.file?.path, log.offset])
  return JSON.stringify([event.message ?? null])
}

/** Which values a filter made, took away or changed, by dotted names. */
export function changes(before: [string, unknown][], after: [string, unknown][]): Change[] {
  const old = new Map(before.map(([name, value]) => [name, JSON.stringify(value)]))
  const found: Change[] = []
  for (const [field, value] of after) {
    const then = old.get(field)
    old.delete(field)
    if (then === undefined) found.push({ field, kind: 'new', value })
    else if (then !== JSON.stringify(value)) found.push({ field, kind: 'other', value })
  }
  for (const [field, value] of before) if (old.has(field)) found.push({ field, kind: 'gone', value })
  return found
}
