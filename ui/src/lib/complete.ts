/** What may stand where the cursor is, in KQL and in Lucene's syntax. */

export type Place =
  | { kind: 'field', from: number, to: number, prefix: string }
  | { kind: 'value', from: number, to: number, prefix: string, field: string }
  | { kind: 'operator', from: number, to: number, prefix: string }

/** The place of the cursor. After a value comes an operator; after `:` or a comparison a value. */
export function place(text: string, cursor: number): Place | null {
  let at = 0
  let field = ''
  // What the last whole token leaves to be expected.
  let expected: 'field' | 'value' | 'operator' = 'field'
  let inList = false
  while (at <= cursor) {
    const rest = text.slice(at)
    const gap = /^\s+/.exec(rest)
    if (gap && at + gap[0].length <= cursor) {
      at += gap[0].length
      continue
    }
    if (at === cursor) break
    const sign = /^(>=|<=|>|<|:|\(|\))/.exec(rest)
    if (sign) {
      at += sign[0].length
      if (sign[0] === '(') {
        inList = expected === 'value'
        expected = inList ? 'value' : 'field'
      } else if (sign[0] === ')') {
        inList = false
        expected = 'operator'
      } else expected = 'value'
      continue
    }
    const quoted = /^"(?:[^"\\]|\\.)*"?/.exec(rest)
    const word = quoted ?? /^(?:[^\s:()<>"\\]|\\.)+/.exec(rest)
    if (!word) {
      at++
      continue
    }
    const end = at + word[0].length
    const closed = quoted ? word[0].length > 1 && word[0].endsWith('"') && !word[0].endsWith('\\"') : false
    if (cursor < end || (cursor === end && !closed)) {
      const prefix = text.slice(at, cursor).replace(/^"/, '')
      const found = { from: at, to: end, prefix }
      if (expected === 'value') return { kind: 'value', field, ...found }
      if (quoted) return null
      return expected === 'operator' ? { kind: 'operator', ...found } : { kind: 'field', ...found }
    }
    at = end
    if (/^(and|or|not)$/i.test(word[0])) expected = inList ? 'value' : 'field'
    else if (expected === 'value') expected = 'operator'
    else {
      field = quoted ? word[0].slice(1, -1) : word[0].replace(/\\(.)/g, '$1')
      expected = 'operator'
    }
  }
  const empty = { from: cursor, to: cursor, prefix: '' }
  if (expected === 'value') return { kind: 'value', field, ...empty }
  return { kind: expected, ...empty }
}

/** Names that hold what was typed: those that begin with it first, then the shorter. */
export function rank(names: Iterable<string>, typed: string, limit: number): string[] {
  const wanted = typed.toLowerCase()
  const found: [number, string][] = []
  for (const name of names) {
    const at = name.toLowerCase().indexOf(wanted)
    if (at >= 0) found.push([(at === 0 ? 0 : name[at - 1] === '.' ? 1 : 2) * 1000 + Math.min(name.length, 999), name])
  }
  return found.sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)).slice(0, limit).map(([, name]) => name)
}
