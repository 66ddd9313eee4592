/** Text of logs, which anybody may have written: cut, and made visible before it is shown. */

/** What of a value a cell of the list gets. */
export const CELL_MAX = 4096

/** Characters that are not seen, or that turn the order of others, have a visible form: control
 * characters by U+2400 and the following (Unicode's control pictures), others by number. */
export function visible(text: string): string {
  return text.replace(
    // eslint-disable-next-line no-control-regex
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    c => {
      const code = c.codePointAt(0)!
      if (code < 0x20) return String.fromCharCode(0x2400 + code)
      return `⟪U+${code.toString(16).toUpperCase().padStart(4, '0')}⟫`
    },
  )
}

const SGR = /\u001b\[([\d;]*)m/g

/** A line for the list: no colours, no line breaks, not too long. */
export function line(text: string): string {
  const cut = text.length > CELL_MAX ? text.slice(0, CELL_MAX) + ' …' : text
  return visible(cut.replace(SGR, '').replace(/\r?\n/g, ' ↵ '))
}

export interface Span { text: string, style: string }

const COLOURS = ['black', 'red', 'green', 'yellow', 'blue', 'magenta', 'cyan', 'white']

/** Text with the colours of a terminal (ECMA-48, SGR) as spans with classes. */
export function spans(text: string): Span[] {
  const found: Span[] = []
  let style = { colour: '', bold: false }
  let from = 0
  const push = (to: number) => {
    if (to > from) {
      const names = [style.colour && `ansi-${style.colour}`, style.bold && 'ansi-bold'].filter(Boolean)
      found.push({ text: visible(text.slice(from, to)), style: names.join(' ') })
    }
  }
  for (const match of text.matchAll(SGR)) {
    push(match.index)
    from = match.index + match[0].length
    for (const code of (match[1] || '0').split(';').map(Number)) {
      if (code === 0) style = { colour: '', bold: false }
      else if (code === 1) style = { ...style, bold: true }
      else if (code === 39) style = { ...style, colour: '' }
      else if (code >= 30 && code <= 37) style = { ...style, colour: COLOURS[code - 30]! }
      else if (code >= 90 && code <= 97) style = { ...style, colour: COLOURS[code - 90]! }
    }
  }
  push(text.length)
  return found
}

/** A value as text. */
export function plain(value: unknown): string {
  if (value === undefined || value === null) return ''
  return typeof value === 'string' ? value : JSON.stringify(value)
}

/** How bad a level is, for its colour. */
export function severity(level: string): 'bad' | 'warn' | '' {
  if (/^(err|fatal|crit|alert|emerg|panic|severe)/i.test(level)) return 'bad'
  return /^warn/i.test(level) ? 'warn' : ''
}
