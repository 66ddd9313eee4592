/** Numbers of the page Pipelines in the words of the language. */

import { t, words } from '../lib/i18n.svelte'
import { showLength } from '../lib/time'
import type { Why } from './view'

/** `1.2 k/s` */
export const perSecond = (rate: number) =>
  t('perSecond', { n: new Intl.NumberFormat(words.language, rate >= 1000 ? { notation: 'compact', maximumFractionDigits: 1 } : { maximumFractionDigits: rate < 10 ? 1 : 0 }).format(rate) })

const UNITS = ['byte', 'kilobyte', 'megabyte', 'gigabyte', 'terabyte']

/** `1.2 GB`, by powers of 1000. */
export function bytes(count: number): string {
  const at = count < 1000 ? 0 : Math.min(Math.floor(Math.log10(count) / 3), UNITS.length - 1)
  const format = new Intl.NumberFormat(words.language, { style: 'unit', unit: UNITS[at]!, unitDisplay: at === 0 ? 'long' : 'short', maximumFractionDigits: at === 0 ? 0 : 1 })
  return format.format(count / 1000 ** at)
}

export const percent = (value: number) => words.percent.format(Math.round(value * 10) / 1000)
export const seconds = (value: number | null) => (value === null ? '–' : showLength(Math.max(value, 0) * 1000, words.language))

export function why(reason: Why): string {
  switch (reason.kind) {
    case 'cannotDeliver': return t('whyCannotDeliver', { text: reason.text })
    case 'cannotRead': return t('whyCannotRead', { text: reason.text })
    case 'queueFull': return t('whyQueueFull', { n: percent(reason.fill) })
    case 'filtersWait': return t('whyFiltersWait', { n: percent(reason.percent) })
    case 'diskWaits': return t('whyDiskWaits', { n: percent(reason.percent) })
    case 'filtersBusy': return t('whyFiltersBusy', { n: percent(reason.percent) })
    case 'busy': return t('whyBusy', { n: percent(reason.percent) })
    case 'slower': return t('whySlower', { rate: perSecond(reason.rate), meant: perSecond(reason.meant) })
    case 'reads': return t('whyReads')
  }
}
