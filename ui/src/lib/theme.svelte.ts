/** Light, dark, or as the system has it. */

export type Choice = 'auto' | 'light' | 'dark'

class Theme {
  choice = $state<Choice>('auto')

  start(): void {
    const kept = localStorage.getItem('theme')
    if (kept === 'light' || kept === 'dark') this.use(kept)
  }

  use(choice: Choice): void {
    this.choice = choice
    document.documentElement.style.colorScheme = choice === 'auto' ? 'light dark' : choice
    localStorage.setItem('theme', choice)
  }
}

export const theme = new Theme()
