/** Logs as nobody wants them, very many fields, and very many lines at once. */

import { Pond, column, discover, expect, hits, test, type Doc } from './pond'

test('B8: hostile and huge texts are text, and cut', async ({ page, errors }) => {
  const pond = new Pond()
  await pond.start()
  try {
    const now = Date.now()
    const at = (n: number) => new Date(now - 10_000 - n * 1000).toISOString()
    const long = 'x'.repeat(19_000_000)
    await pond.bulk('logs-nasty', [
      { '@timestamp': at(0), message: '<img src=x onerror="window.ran=1"><script>window.ran=1</script>' },
      { '@timestamp': at(1), message: 'left \u202eright\u0000 end\u200b' },
      { '@timestamp': at(2), message: '\u001b[31mred\u001b[0m alert' },
      { '@timestamp': at(3), message: Array.from({ length: 31 }, (_, n) => `at line ${n}`).join('\n') },
      { '@timestamp': new Date(now + 7_200_000).toISOString(), message: 'from the future' },
      { message: 'without a time' },
      { '@timestamp': at(4), message: long },
    ])
    await page.addInitScript(() => {
      ;(window as any).longest = 0
      new PerformanceObserver(list => list.getEntries().forEach(entry => ((window as any).longest = Math.max((window as any).longest, entry.duration)))).observe({ type: 'longtask' })
    })
    await discover(page, pond, { t: 'now-1h..now' })
    await expect.poll(async () => (await column(page, 'message')).length).toBe(6)
    const texts = await column(page, 'message')
    expect(texts).toContain('<img src=x onerror="window.ran=1"><script>window.ran=1</script>')
    expect(texts).toContain('left ⟪U+202E⟫right␀ end⟪U+200B⟫')
    expect(texts).toContain('red alert')
    expect(texts.find(text => text.startsWith('at line 0'))).toContain('↵ at line 30')
    expect(texts).not.toContain('from the future')
    expect(Math.max(...texts.map(text => text.length))).toBeLessThan(4200)
    await page.getByRole('grid').getByRole('row').filter({ hasText: 'xxxxx' }).click()
    const all = page.getByRole('button', { name: 'Show all (19,000,000 characters)' })
    await expect(all).toBeVisible()
    const row = page.locator('tr[data-field=message] .value')
    expect((await row.innerText()).length).toBeLessThan(5000)
    console.log(`longest task with a line of 19 MB: ${await page.evaluate(() => Math.round((window as any).longest))} ms`)
    await page.getByRole('grid').getByRole('row').filter({ hasText: 'red alert' }).click()
    await expect(page.locator('tr[data-field=message] .ansi-red')).toHaveText('red')
    expect(await page.evaluate(() => (window as any).ran)).toBeUndefined()
    expect(errors).toEqual([])
  } finally {
    await pond.end()
  }
})

test('B9: ten thousand fields', async ({ page }) => {
  const pond = new Pond()
  await pond.start()
  try {
    for (let index = 0; index < 10; index++) {
      const doc: Doc = { '@timestamp': new Date().toISOString(), message: `wide ${index}` }
      for (let n = 0; n < 990; n++) doc[`group_${index}.field_${n}`] = n
      await pond.bulk(`logs-wide-${index}`, [doc], false)
    }
    await pond.ask('POST', '/_refresh')
    await discover(page, pond)
    expect((await column(page, 'message')).length).toBe(10)
    await expect(page.locator('aside')).toContainText('All (9,9')
    expect(await page.locator('aside li').count()).toBeLessThan(100)
    const find = page.getByRole('searchbox', { name: 'Find a field' })
    const begun = Date.now()
    await find.pressSequentially('up_7.field_98')
    await expect(page.locator('aside').getByRole('button', { name: 'group_7.field_989', exact: true })).toBeVisible()
    console.log(`13 characters in the list of 9,900 fields: ${Date.now() - begun} ms`)
  } finally {
    await pond.end()
  }
})

test('B10: live shows and counts everything, paused or not', async ({ page }) => {
  const pond = new Pond()
  await pond.start()
  try {
    await pond.bulk('logs-live', [{ '@timestamp': new Date().toISOString(), message: 'before', n: -1 }])
    await discover(page, pond)
    await page.keyboard.press('l')
    const state = page.locator('[data-shown]')
    await expect(state).toHaveAttribute('data-shown', '1')
    let sent = 1
    const send = async (count: number) => {
      const docs = Array.from({ length: count }, (_, n) => ({ '@timestamp': new Date().toISOString(), message: `event ${sent + n}`, n: sent + n }))
      await pond.bulk('logs-live', docs, false)
      sent += count
    }
    const sums = async () => Number(await state.getAttribute('data-shown')) + Number(await state.getAttribute('data-skipped'))
    for (let n = 0; n < 4; n++) await send(5000)
    await expect.poll(sums, { timeout: 60_000 }).toBe(sent)
    const skipped = Number(await state.getAttribute('data-skipped'))
    expect(skipped).toBeGreaterThan(0)
    await page.keyboard.press('Space')
    await expect(page.getByText('Paused')).toBeVisible()
    await send(3000)
    await page.waitForTimeout(1500)
    expect(await sums()).toBe(sent - 3000)
    await page.keyboard.press('Space')
    await expect.poll(sums, { timeout: 60_000 }).toBe(sent)
    // The list stays where it is read, and says what came below.
    await page.getByRole('grid').evaluate(box => (box.scrollTop = 0))
    await send(20)
    await expect(page.getByRole('button', { name: /20 new below/ })).toBeVisible()
    await page.getByRole('button', { name: /20 new below/ }).click()
    await expect(page.locator('[role=gridcell][data-field=message]').last()).toContainText(`event ${sent - 1}`)
    const numbers = (await column(page, 'message')).map(text => Number(text.split(' ')[1]))
    expect(numbers).toEqual([...numbers].sort((a, b) => a - b))
    // Filters are the server's business.
    await page.keyboard.press('l')
    await expect(page).toHaveURL(/t=20\d\d-/)
    expect(await hits(page)).toBeGreaterThan(0)
  } finally {
    await pond.end()
  }
})

test('G5: each way of nothing has its own words', async ({ page }) => {
  const pond = new Pond()
  await pond.start()
  try {
    await page.goto(`${pond.address}/_ui/`)
    await expect(page.getByText('Nothing is stored yet')).toBeVisible()
    await expect(page.getByText('output.elasticsearch')).toBeVisible()
    const old = new Date(Date.now() - 3 * 3_600_000)
    await pond.bulk('logs-old', [{ '@timestamp': old.toISOString(), level: 'info', message: 'long ago' }])
    await page.getByRole('button', { name: 'Refresh now' }).click()
    await page.getByRole('button', { name: 'Go to the last event, 3 hours ago' }).click()
    await expect.poll(() => column(page, 'message')).toEqual(['long ago'])
    const query = page.getByRole('combobox', { name: 'Search' })
    await query.fill('level: error')
    await query.press('Escape')
    await query.press('Enter')
    await expect(page.getByText('Nothing matches')).toBeVisible()
    await page.getByRole('button', { name: 'Without the search: 1' }).click()
    await expect.poll(() => column(page, 'message')).toEqual(['long ago'])
    await page.goto(`${pond.address}/_ui/discover?i=other-*`)
    await expect(page.getByText('No index is called other-*')).toBeVisible()
    await page.getByRole('button', { name: 'logs-old', exact: true }).click()
    await expect(page.getByText('No events in this time')).toBeVisible()
    // Refused, and not there at all.
    await page.goto(`${pond.address}/_ui/discover?i=absent`)
    await expect(page.getByText('no such index [absent]')).toBeVisible()
  } finally {
    await pond.end()
  }
})
