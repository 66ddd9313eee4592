/** The page over a cluster: here another pond stands in for it; discover.spec.ts asks real ones. */

import { Over, SMALL, column, discover, expect, fixed, hits, test } from './pond'

test('the same page over a cluster: searches, the fields, live events, and no pipelines', async ({ page, shared, errors }) => {
  const over = new Over(shared.pond)
  await over.start()
  try {
    await discover(page, over, { t: fixed(shared), q: 'level: error and status < 300', c: '@timestamp,level,status,message' })
    const expected = await shared.pond.count('logs-small', { kql: { query: 'level: error and status < 300' } })
    expect(await hits(page)).toBe(expected)
    expect(expected).toBeGreaterThan(0)
    expect(new Set(await column(page, 'level'))).toEqual(new Set(['error']))
    await expect(page.locator('header .cluster')).toContainText('Elasticsearch 7')
    await expect(page.locator('nav a')).toHaveText(['Discover'])

    await page.locator('aside .name').filter({ hasText: /^.?status$/ }).first().click()
    await expect(page.locator('aside ol > li')).not.toHaveCount(0)

    await discover(page, over, { t: fixed(shared) })
    expect(await hits(page)).toBe(SMALL)
    expect(errors).toEqual([])
  } finally {
    await over.end()
  }
})
