/** The language of the page. English is built in, others are loaded. */

import en from '../locales/en'

export type Key = keyof typeof en
export type Texts = Record<Key, string>
export const LANGUAGES = { en: 'English', ko: '한국어', 'zh-CN': '简体中文' } as const
export type Language = keyof typeof LANGUAGES

const LOADERS: Partial<Record<Language, () => Promise<{ default: Texts }>>> = {
  ko: () => import('../locales/ko'),
  'zh-CN': () => import('../locales/zh'),
}

class Words {
  language = $state<Language>('en')
  #texts = $state.raw<Texts>(en)
  number = $derived(new Intl.NumberFormat(this.language))
  percent = $derived(new Intl.NumberFormat(this.language, { style: 'percent', maximumFractionDigits: 1 }))

  /** Changes the language once its words are there. */
  async use(language: Language): Promise<void> {
    this.#texts = (await LOADERS[language]?.())?.default ?? en
    this.language = language
    document.documentElement.lang = language
  }

  text(key: Key, values?: Record<string, string | number>): string {
    const text = this.#texts[key]
    if (!values) return text
    return text.replace(/\{(\w+)\}/g, (whole, name: string) => {
      const value = values[name]
      return value === undefined ? whole : typeof value === 'number' ? this.number.format(value) : value
    })
  }
}

export const words = new Words()
export const t = (key: Key, values?: Record<string, string | number>) => words.text(key, values)

/** The language that was chosen, else the first of the browser's that there is. */
export function startLanguage(): Language {
  const chosen = localStorage.getItem('language')
  if (chosen && chosen in LANGUAGES) return chosen as Language
  for (const wanted of navigator.languages) {
    if (wanted.startsWith('ko')) return 'ko'
    if (wanted.startsWith('zh')) return 'zh-CN'
    if (wanted.startsWith('en')) return 'en'
  }
  return 'en'
}
