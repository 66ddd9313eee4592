/** What can be done, by key or from the list of commands. Views bring theirs along. */

import type { Key } from './i18n.svelte'

export interface Command {
  label: Key
  /** As `KeyboardEvent.key` has it; `g d` is one after the other. */
  keys: string[]
  run: () => void
}

class Commands {
  /** Those of the page that is shown, and those that every page has. */
  page = $state.raw<Command[]>([])
  everywhere = $state.raw<Command[]>([])
  all = $derived([...this.page, ...this.everywhere])
  /** Whether single keys are shortcuts; Ctrl+K and Escape always work. */
  on = $state(localStorage.getItem('keys') !== 'off')
  #first = ''

  setOn(on: boolean): void {
    this.on = on
    localStorage.setItem('keys', on ? 'on' : 'off')
  }

  /** Runs what the key means; no single key does anything while somebody types, or below a
   * dialog. Escape is left to what is open. */
  press(event: KeyboardEvent): boolean {
    if (event.key === 'Escape' || document.querySelector('dialog[open]')) return false
    if (event.ctrlKey || event.metaKey || event.altKey || !this.on || isTyping(event.target)) return false
    const key = event.key
    const pair = this.#first && `${this.#first} ${key}`
    this.#first = ''
    const command = this.all.find(command => command.keys.includes(pair || key))
    if (command) {
      command.run()
      return true
    }
    if (this.all.some(command => command.keys.some(keys => keys.startsWith(`${key} `)))) {
      this.#first = key
      return true
    }
    return false
  }
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName))
}

export const commands = new Commands()
