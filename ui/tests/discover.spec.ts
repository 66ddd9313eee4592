/** Discover over the built binary, in a real browser. The ids are those of the acceptance list. */

import type { Request } from '@playwright/test'
import { Pond, SMALL, bars, column, discover, expect, fixed, hits, param, test } from './pond'

/** Of each store that the page may be over; what is not marked so is of our own. */
const everywhere = { tag: '@everywhere' }
const postOf = (request: Request) => request.postDataJSON() as any

test('A1: the root leads to Discover, and the console is quiet', async ({ page, shared, errors }) => {
  await page.goto(shared.pond.address)
  await expect(page).toHaveURL(/\/_ui\/$/)
  await expect(page.getByRole('button', { name: 'Search', exact: true })).toBeVisible()
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', /\d/)
  await expect(page).toHaveTitle('logpond')
  expect(errors).toEqual([])
})

test('A3: only its own server is asked, and little comes', async ({ page, shared }) => {
  const foreign: string[] = []
  const sizes = new Map<string, number>()
  page.on('request', request => request.url().startsWith(shared.pond.address) || /^(data|blob):/.test(request.url()) || foreign.push(request.url()))
  page.on('requestfinished', async request => {
    if (/\.(js|css)$/.test(request.url())) sizes.set(request.url(), (await request.sizes()).responseBodySize)
  })
  await discover(page, shared.pond, { t: fixed(shared) })
  await page.getByRole('grid').getByRole('row').nth(3).click()
  await page.getByLabel('Language', { exact: true }).selectOption('ko')
  await expect(page.locator('html')).toHaveAttribute('lang', 'ko')
  expect(foreign).toEqual([])
  const together = [...sizes.values()].reduce((a, b) => a + b, 0)
  console.log(`script and style, as sent: ${(together / 1000).toFixed(1)} kB`)
  expect(sizes.size).toBeGreaterThanOrEqual(2)
  expect(together).toBeLessThan(150_000)
  for (const missing of ['/_ui/assets/none.js', '/_ui/dashboards', '/_ui/../Cargo.toml']) {
    const answer = await page.request.get(shared.pond.address + missing)
    expect(answer.status(), missing).toBe(404)
    expect(await answer.text()).not.toContain('<html')
  }
})

test('A4: the policy is strict and nothing runs into it', async ({ page, shared, errors }) => {
  const answer = await page.request.get(`${shared.pond.address}/_ui/`)
  const policy = answer.headers()['content-security-policy']!
  for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"]) expect(policy).toContain(part)
  expect(policy).not.toContain('unsafe')
  await page.addInitScript(() => {
    ;(window as any).violations = []
    document.addEventListener('securitypolicyviolation', event => (window as any).violations.push(`${event.violatedDirective} ${event.sourceFile}`))
  })
  await discover(page, shared.pond, { t: fixed(shared), h: 'level' })
  await page.getByRole('grid').getByRole('row').nth(3).click()
  await page.getByLabel('Theme').selectOption('dark')
  await page.getByRole('button', { name: /^Time range/ }).click()
  expect(await page.evaluate(() => (window as any).violations)).toEqual([])
  expect(errors).toEqual([])
  const ran = await page.evaluate(async () => {
    const script = document.createElement('script')
    script.textContent = 'window.ran = true'
    document.head.append(script)
    const marked = document.createElement('div')
    marked.innerHTML = '<p style="position: fixed">x</p><img src=x onerror="window.ran = true">'
    document.body.append(marked)
    await new Promise(resolve => setTimeout(resolve, 300))
    return [(window as any).ran ?? false, getComputedStyle(marked.firstElementChild!).position]
  })
  expect(ran).toEqual([false, 'static'])
})

test('B1: rows are the newest first, and all counts agree', everywhere, async ({ page, shared }) => {
  const counted = page.waitForRequest(/_count/)
  await page.goto(`${shared.pond.address}/_ui/discover`)
  const { query } = postOf(await counted)
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', /\d/)
  const count = await shared.pond.count('logs-*', query)
  expect(count).toBeGreaterThan(0)
  expect(await hits(page)).toBe(count)
  await expect.poll(() => bars(page)).toBe(count)
  const times = await column(page, '@timestamp')
  expect(times.length).toBeGreaterThan(10)
  expect(times).toEqual([...times].sort().reverse())
})

test('B2: dragging over bars sets the time, and Back restores it without a search', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared) })
  expect(await hits(page)).toBe(SMALL)
  const before = param(page, 't')
  const box = (await page.locator('svg[role=application]').boundingBox())!
  await page.mouse.move(box.x + box.width * 0.4, box.y + 40)
  await page.mouse.down()
  await page.mouse.move(box.x + box.width * 0.45, box.y + 40, { steps: 4 })
  await page.mouse.up()
  await expect.poll(() => param(page, 't')[0]).not.toBe(before[0])
  await expect.poll(() => hits(page)).toBeLessThan(SMALL / 8)
  await expect.poll(() => bars(page)).toBe(await hits(page))
  const [from, to] = param(page, 't')[0]!.split('..')
  const range = { range: { '@timestamp': { gte: from, lt: to } } }
  expect(await hits(page)).toBe(await shared.pond.count('logs-small', range))
  const asked: string[] = []
  page.on('request', request => /_search|_count/.test(request.url()) && asked.push(request.url()))
  await page.goBack()
  await expect.poll(() => hits(page)).toBe(SMALL)
  expect(param(page, 't')).toEqual(before)
  expect(asked).toEqual([])
})

const range = (field: string, bounds: object) => ({ range: { [field]: bounds } })
const term = (field: string, value: unknown) => ({ term: { [field]: value } })
const and = (...filter: object[]) => ({ bool: { filter } })
const or = (...should: object[]) => ({ bool: { should, minimum_should_match: 1 } })
const not = (query: object) => ({ bool: { must_not: [query] } })
const match = (text: string, operator = 'or') => ({ match: { message: { query: text, operator } } })
const phrase = (text: string) => ({ match_phrase: { message: text } })

/** Searches, and what they mean in words of which nobody has an opinion. */
const KQL: [string, object][] = [
  ['', { match_all: {} }],
  ['*', { match_all: {} }],
  ['level: error', term('level.keyword', 'error')],
  ['level:error', term('level.keyword', 'error')],
  ['level: "error"', term('level.keyword', 'error')],
  ['not level: error', not(term('level.keyword', 'error'))],
  ['NOT level: error', not(term('level.keyword', 'error'))],
  ['level: error or level: warn', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['level: (error or warn)', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['level: error and status: 500', and(term('level.keyword', 'error'), term('status', 500))],
  ['level: error and not status: 200', and(term('level.keyword', 'error'), not(term('status', 200)))],
  ['level: error or level: warn and status: 500', or(term('level.keyword', 'error'), and(term('level.keyword', 'warn'), term('status', 500)))],
  ['(level: error or level: warn) and status: 500', and(or(term('level.keyword', 'error'), term('level.keyword', 'warn')), term('status', 500))],
  ['status: 500', term('status', 500)],
  ['status >= 500', range('status', { gte: 500 })],
  ['status > 500', range('status', { gt: 500 })],
  ['status < 300', range('status', { lt: 300 })],
  ['status <= 304', range('status', { lte: 304 })],
  ['status >= 300 and status < 500', range('status', { gte: 300, lt: 500 })],
  ['status: *', { exists: { field: 'status' } }],
  ['nothing: *', { match_none: {} }],
  ['not nothing: *', { match_all: {} }],
  ['host.name: web-01', { match: { 'host.name': 'web-01' } }],
  ['host.name: "web-01"', term('host.name.keyword', 'web-01')],
  ['host.name: web*', { match_all: {} }],
  ['host.name: *-02', term('host.name.keyword', 'web-02')],
  ['log.file.path: "/var/log/web-03/app.log"', term('log.file.path.keyword', '/var/log/web-03/app.log')],
  ['log.file.path: */web-01/*', term('host.name.keyword', 'web-01')],
  ['took', { match_all: {} }],
  ['missing', { match_none: {} }],
  ['"item 7"', phrase('item 7')],
  ['message: "took 37 ms"', phrase('took 37 ms')],
  ['message: 17', match('17')],
  ['17 18', match('17 18')],
  ['message: "item 7" and level: info', and(phrase('item 7'), term('level.keyword', 'info'))],
  ['n: 1234', term('n', 1234)],
  ['n < 10', range('n', { lt: 10 })],
  ['not (level: info or status >= 500)', not(or(term('level.keyword', 'info'), range('status', { gte: 500 })))],
  ['level: (not error)', not(term('level.keyword', 'error'))],
  ['level: nope', { match_none: {} }],
  ['level: err*', term('level.keyword', 'error')],
  ['level: *r*', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['level: "err*"', { match_none: {} }],
  ['LEVEL: error', { match_none: {} }],
  ['((level: error))', term('level.keyword', 'error')],
  ['level:error and (status:500 or status:503) and host.name:"web-03"', and(term('level.keyword', 'error'), { terms: { status: [500, 503] } }, term('host.name.keyword', 'web-03'))],
  ['status: (200 or 304)', { terms: { status: [200, 304] } }],
  ['not (status: 200 or status: 304)', not({ terms: { status: [200, 304] } })],
  ['status: 5*', { match_none: {} }],
  ['n >= 100 and n < 200', range('n', { gte: 100, lt: 200 })],
  ['not n >= 10', range('n', { lt: 10 })],
  ['n: 5 or n: 6 or n: 7', { terms: { n: [5, 6, 7] } }],
  ['host.name: ("web-01" or "web-02")', { terms: { 'host.name.keyword': ['web-01', 'web-02'] } }],
  ['host.name: w*-0?', { match_none: {} }],
  ['message: (took and 17)', and(match('took'), match('17'))],
  ['message: "request 12 took"', phrase('request 12 took')],
  ['"item 7" or "item 8"', or(phrase('item 7'), phrase('item 8'))],
  ['message: requ*', { match_all: {} }],
  ['17 and not 18', and(match('17'), not(match('18')))],
  ['@timestamp >= now-1d and @timestamp: *', { match_all: {} }],
]
const LUCENE: [string, object][] = [
  ['level:error', term('level.keyword', 'error')],
  ['level:error AND status:500', and(term('level.keyword', 'error'), term('status', 500))],
  ['level:error OR level:warn', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['level:(error OR warn)', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['NOT level:error', not(term('level.keyword', 'error'))],
  ['-level:error', not(term('level.keyword', 'error'))],
  ['+level:error -status:500', and(term('level.keyword', 'error'), not(term('status', 500)))],
  ['status:[300 TO 499]', range('status', { gte: 300, lte: 499 })],
  ['status:{304 TO *}', range('status', { gt: 304 })],
  ['status:>=500', range('status', { gte: 500 })],
  ['status:>500', range('status', { gt: 500 })],
  ['host.name:web*', { match_all: {} }],
  ['_exists_:status', { exists: { field: 'status' } }],
  ['message:"item 7"', phrase('item 7')],
  ['"item 7"', phrase('item 7')],
  ['took', { match_all: {} }],
  ['*', { match_all: {} }],
  ['level:error AND NOT status:200', and(term('level.keyword', 'error'), not(term('status', 200)))],
  ['level:error && status:503', and(term('level.keyword', 'error'), term('status', 503))],
  ['level:error || level:warn', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['level:warn level:error', or(term('level.keyword', 'error'), term('level.keyword', 'warn'))],
  ['!level:error', not(term('level.keyword', 'error'))],
  ['level:err*', term('level.keyword', 'error')],
  ['level:/err.*/', term('level.keyword', 'error')],
  ['level:error^2', term('level.keyword', 'error')],
  ['level:*', { match_all: {} }],
  ['*:*', { match_all: {} }],
  ['(level:error OR level:warn) AND NOT status:200', and(or(term('level.keyword', 'error'), term('level.keyword', 'warn')), not(term('status', 200)))],
  ['status:(200 OR 304)', { terms: { status: [200, 304] } }],
  ['status:[* TO 304]', range('status', { lte: 304 })],
  ['status:{200 TO 404}', range('status', { gt: 200, lt: 404 })],
  ['status:[200 TO 404}', range('status', { gte: 200, lt: 404 })],
  ['status:<=304', range('status', { lte: 304 })],
  ['_exists_:nothing', { match_none: {} }],
  ['NOT _exists_:nothing', { match_all: {} }],
  ['host.name:"web-01"', term('host.name.keyword', 'web-01')],
  ['message:(17 18)', match('17 18')],
  ['+took +17', and(match('took'), match('17'))],
  ['message:"took ms"~2', { match_phrase: { message: { query: 'took ms', slop: 2 } } }],
  ['message:requst~1 AND n:[10 TO 19]', range('n', { gte: 10, lte: 19 })],
]

test('B3: KQL and Lucene find what their twins find', everywhere, async ({ shared }) => {
  expect([KQL.length, LUCENE.length]).toEqual([60, 40])
  const ids = async (query: object) => {
    const found = await shared.pond.askAsPage('POST', '/logs-small/_search', { query, size: 500, sort: ['n'], _source: false, track_total_hits: true })
    return JSON.stringify([found.hits.total.value, found.hits.hits.map((hit: any) => hit._id)])
  }
  const wrong: string[] = []
  for (const [query, twin] of KQL) if ((await ids({ kql: { query } })) !== (await ids(twin))) wrong.push(`KQL ${query}`)
  for (const [query, twin] of LUCENE) {
    if ((await ids({ query_string: { query, default_field: 'message' } })) !== (await ids(twin))) wrong.push(`Lucene ${query}`)
  }
  expect(wrong).toEqual([])
})

test('B3: a mistake is marked where it is, and the rows stay', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared) })
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.fill('level: error and (status')
  await query.press('Escape')
  await query.press('Enter')
  await expect(page.getByText('Here at character 25:')).toBeVisible()
  await expect(page.locator('mark')).toHaveText('▯')
  expect((await column(page, 'message')).length).toBeGreaterThan(10)
  await query.fill('level: error')
  await query.press('Escape')
  await query.press('Enter')
  await expect(page.getByText('Here at character')).toBeHidden()
  await expect.poll(() => hits(page)).toBe(SMALL / 10)
})

test('B3: a mistake in Lucene is marked, too', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), l: 'lucene' })
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.fill('level:error AND (status:500')
  await query.press('Escape')
  await query.press('Enter')
  await expect(page.getByText('Here at character 28:')).toBeVisible()
  expect((await column(page, 'message')).length).toBeGreaterThan(10)
  await query.fill('level:error AND status:500)')
  await query.press('Escape')
  await query.press('Enter')
  await expect(page.getByText('Here at character 27:')).toBeVisible()
  await expect(page.locator('mark')).toHaveText(')')
})

test('B3: fields and values are completed', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared) })
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.pressSequentially('host')
  await expect(page.locator('#choices').getByText('host.name', { exact: true })).toBeVisible()
  await query.press('ArrowDown')
  await query.press('Enter')
  await expect(query).toHaveValue('host.name: ')
  await query.pressSequentially('web-02')
  await expect(page.locator('#choices').getByText('web-02')).toBeVisible()
  await query.press('ArrowDown')
  await query.press('Enter')
  await expect(query).toHaveValue('host.name: "web-02" ')
  await query.press('Escape')
  await query.press('Enter')
  await expect.poll(() => hits(page)).toBe(SMALL / 3)
})

test('B4: the top values of a field are those of an aggregation', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared) })
  await page.locator('aside').getByRole('button', { name: 'status', exact: true }).click()
  const values = page.getByRole('listitem', { name: 'Top values of status' })
  await expect(values.getByText('exact')).toBeVisible()
  const found = await shared.pond.ask('POST', '/logs-small/_search', { size: 0, aggs: { status: { terms: { field: 'status', size: 10 } } } })
  const expected = found.aggregations.status.buckets.map((bucket: any) => [String(bucket.key), String(bucket.doc_count)])
  const shown = await values.locator('ol > li').evaluateAll(all => all.map(one => [one.querySelector('.value')!.textContent, one.querySelector('[data-count]')!.getAttribute('data-count')]))
  expect(shown).toEqual(expected)
  await values.getByRole('button', { name: 'Only with 503' }).click()
  await expect.poll(() => hits(page)).toBe(SMALL / 10)
})

test('B5: filters from a click, edited, switched off, kept and removed', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), c: '@timestamp,level,status,message' })
  const cell = page.locator('[role=gridcell][data-field=level]').filter({ hasText: 'warn' }).first()
  await cell.hover()
  await cell.getByRole('button', { name: 'Only with warn' }).click()
  await expect.poll(() => hits(page)).toBe(SMALL / 5)
  expect(param(page, 'f')).toEqual(['+level:"warn"'])
  const status = page.locator('[role=gridcell][data-field=status]').filter({ hasText: '200' }).first()
  await status.hover()
  await status.getByRole('button', { name: 'Without 200' }).click()
  const both = and(term('level.keyword', 'warn'), not(term('status', 200)))
  await expect.poll(() => hits(page)).toBe(await shared.pond.count('logs-small', both))
  expect(param(page, 'f')).toEqual(['+level:"warn"', '-status:200'])
  const act = async (pill: RegExp, name: string) => {
    await page.getByRole('button', { name: pill }).first().click()
    await page.getByRole('dialog').getByRole('button', { name, exact: true }).click()
  }
  await act(/^Edit filter.*level/, 'Switch off')
  await expect.poll(() => hits(page)).toBe(await shared.pond.count('logs-small', not(term('status', 200))))
  expect(param(page, 'f')).toEqual(['~+level:"warn"', '-status:200'])
  await act(/^Edit filter.*level/, 'Switch on')
  await act(/^Edit filter.*level/, 'Turn into the opposite')
  await expect.poll(() => hits(page)).toBe(await shared.pond.count('logs-small', and(not(term('level.keyword', 'warn')), not(term('status', 200)))))
  await page.getByRole('button', { name: /^Edit filter.*status/ }).click()
  await page.getByRole('dialog').getByLabel('Value').fill('500')
  await page.getByRole('dialog').getByRole('button', { name: 'Apply' }).click()
  expect(param(page, 'f')).toEqual(['-level:"warn"', '-status:500'])
  await act(/^Edit filter.*status/, 'Keep for other searches')
  await expect.poll(() => param(page, 'f')).toEqual(['-level:"warn"', '^-status:500'])
  await page.keyboard.press('n')
  await expect.poll(() => param(page, 'f')).toEqual(['^-status:500'])
  await page.getByRole('button', { name: /^Remove: / }).click()
  await expect.poll(() => param(page, 'f')).toEqual([])
})

test('B6: columns, widths, zone and order are in the link', async ({ page, shared, browser }) => {
  await discover(page, shared.pond, { t: fixed(shared), tz: 'Asia/Seoul', c: '@timestamp,level,message' })
  await page.getByRole('button', { name: 'Show status as a column' }).click()
  const head = page.getByRole('columnheader', { name: 'status' })
  await head.getByRole('button').press('Alt+ArrowLeft')
  await expect.poll(() => param(page, 'c')).toEqual(['@timestamp,level,status,message'])
  const edge = (await page.getByRole('separator', { name: 'Width of level' }).boundingBox())!
  await page.mouse.move(edge.x + 12, edge.y + 10)
  await page.mouse.down()
  await page.mouse.move(edge.x + 72, edge.y + 10, { steps: 3 })
  await page.mouse.up()
  await page.getByRole('columnheader', { name: 'level' }).getByRole('button').dragTo(page.getByRole('columnheader', { name: '@timestamp' }))
  await expect.poll(() => param(page, 'c')).toEqual(['level,@timestamp,status,message'])
  await head.getByRole('button').click()
  await expect.poll(() => param(page, 's')).toEqual(['-status'])
  await page.getByRole('button', { name: 'Share' }).click()
  await page.getByRole('button', { name: /time as it is/ }).click()
  const link = await page.evaluate(() => navigator.clipboard.readText())
  const widths = async (on: typeof page) => (await on.getByRole('columnheader').evaluateAll(all => all.map(one => Math.round(one.getBoundingClientRect().width)))).slice(0, 4)
  const own = await widths(page)
  const other = await (await browser.newContext({ viewport: { width: 1280, height: 800 }, timezoneId: 'America/New_York' })).newPage()
  await other.goto(link)
  await expect(other.locator('[data-hits]')).toHaveAttribute('data-hits', String(SMALL))
  expect(await widths(other)).toEqual(own)
  await expect(other.getByRole('columnheader', { name: '@timestamp' })).toContainText('+09:00')
  // How many rows are drawn depends on the height of each page.
  const first = async (on: typeof page) => (await column(on, 'status')).slice(0, 10)
  expect(await first(other)).toEqual(await first(page))
  expect((await column(other, 'status'))[0]).toBe('503')
  await other.context().close()
})

test('B7: 20,000 rows while others come: none twice, none missing', everywhere, async ({ page, shared }) => {
  const pond = shared.pond
  const from = shared.last - 600_000
  await discover(page, pond, { t: `${new Date(from).toISOString()}..${new Date(Date.now() + 3_600_000).toISOString()}`, c: 'n,message', q: 'level: *' })
  let going = true
  const writing = (async () => {
    for (let n = 0; going; n++) {
      await pond.bulk('logs-later', [{ '@timestamp': new Date(Date.now() + n).toISOString(), level: 'late', message: `late ${n}`, n: 1_000_000 + n }])
      await new Promise(resolve => setTimeout(resolve, 100))
    }
  })()
  const seen: string[] = []
  page.on('response', async response => {
    if (!/_search$/.test(response.url()) || !postOf(response.request()).search_after) return
    for (const hit of (await response.json()).hits.hits) seen.push(hit._source.n)
  })
  const first = await page.locator('[role=gridcell][data-field=n] .text').first().innerText()
  const grid = page.getByRole('grid', { name: 'Results' })
  await expect.poll(async () => {
    await grid.evaluate(box => (box.scrollTop = box.scrollHeight))
    return seen.length
  }, { timeout: 100_000, intervals: [50] }).toBeGreaterThanOrEqual(20_000)
  going = false
  await writing
  const numbers = seen.map(Number)
  expect(new Set(numbers).size).toBe(numbers.length)
  // 500 came before; the rest goes down by one each, whatever is written meanwhile.
  const top = numbers[0]!
  expect(numbers).toEqual(numbers.map((_, n) => top - n))
  expect(Number(first) - 500).toBe(top)
  expect(await page.locator('*').count()).toBeLessThan(3000)
})

test('B11: the lines around an error are those of its file, of all levels', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), q: 'level: error and host.name: "web-02" and n < 20000', c: '@timestamp,level,n,message' })
  const row = page.getByRole('grid').getByRole('row').nth(4)
  const anchor = Number(await row.locator('[data-field=n] .text').innerText())
  await row.click()
  const answers: any[] = []
  page.on('response', async response => {
    if (/_search/.test(response.url()) && postOf(response.request()).search_after) answers.push(await response.json())
  })
  await page.getByRole('button', { name: 'Surrounding lines' }).click()
  const context = page.getByRole('region', { name: 'Surrounding lines' })
  await expect(context.locator('.anchor')).toContainText(`request ${anchor} `)
  await expect(context.getByRole('button', { name: 'host.name: web-02' })).toHaveAttribute('aria-pressed', 'true')
  await expect(context.getByRole('button', { name: 'log.file.path: /var/log/web-02/app.log' })).toHaveAttribute('aria-pressed', 'true')
  const hitsOf = answers.flatMap(answer => answer.hits.hits.map((hit: any) => hit._source))
  expect(answers.map(answer => answer.hits.hits.length)).toEqual([100, 100])
  expect(hitsOf.every(source => source.log.file.path === '/var/log/web-02/app.log')).toBe(true)
  expect(new Set(hitsOf.map(source => source.level))).toEqual(new Set(['info', 'warn', 'error']))
  const numbers = hitsOf.map(source => source.n).concat(anchor).sort((a, b) => a - b)
  expect(numbers).toEqual(Array.from({ length: 201 }, (_, n) => anchor + (n - 100) * 3))
  const drawn = (await context.locator('[data-field=n] .text').allInnerTexts()).map(Number)
  expect(drawn).toEqual([...drawn].sort((a, b) => a - b))
  await context.getByRole('button', { name: 'Open as a search' }).click()
  await expect.poll(() => hits(page)).toBe(201)
})

test('B13: exports hold every event once', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), c: '@timestamp,n,message' })
  const download = async (form: string, fields?: string) => {
    await page.keyboard.press('e')
    const dialog = page.getByRole('dialog')
    await expect(dialog.getByText('30,000 events')).toBeVisible()
    await dialog.getByLabel('Format').selectOption(form)
    await dialog.getByLabel('Order').selectOption('asc')
    if (fields) await dialog.getByLabel('Fields, with commas').fill(fields)
    const [file] = await Promise.all([page.waitForEvent('download'), dialog.getByRole('link', { name: 'Download' }).click()])
    const chunks: Buffer[] = []
    for await (const chunk of await file.createReadStream()) chunks.push(chunk as Buffer)
    await expect(dialog).toBeHidden()
    return { name: file.suggestedFilename(), lines: Buffer.concat(chunks).toString().trimEnd().split(/\r?\n/) }
  }
  const whole = await download('ndjson')
  expect(whole.name).toBe('logs.ndjson')
  expect(whole.lines.map(line => JSON.parse(line).n)).toEqual(Array.from({ length: SMALL }, (_, n) => n))
  const csv = await download('csv')
  expect(csv.name).toBe('logs.csv')
  expect(csv.lines[0]).toBe('@timestamp,n,message')
  expect(csv.lines.slice(1).map(line => Number(line.split(',')[1]))).toEqual(Array.from({ length: SMALL }, (_, n) => n))
  const text = await download('text', 'level')
  expect(text.lines.length).toBe(SMALL)
  expect(text.lines[1]).toBe('warn request 1 took 37 ms for item 1')
})

test('an event is shown as it is stored, and few are seen beside very many', everywhere, async ({ page, shared }) => {
  const at = new Date(shared.last - 3_600_000)
  const text = `{"@timestamp":"${at.toISOString()}","long":12345678901234567, "share":1.50, "message":"as \\"_source\\":{it} is"}`
  await shared.pond.ask('POST', '/logs-raw/_bulk?refresh=true', `{"index":{"_id":"one"}}\n${text}\n`)
  await discover(page, shared.pond, { i: 'logs-raw', t: `${at.toISOString()}..${new Date(at.getTime() + 1000).toISOString()}` })
  await page.locator('[role=gridcell][data-field=message]').first().click()
  await page.getByRole('button', { name: 'Raw', exact: true }).click()
  await expect(page.locator('pre[data-form=raw]')).toHaveText(text)
  // Ten minutes of events in some bars, an hour before them one.
  await discover(page, shared.pond, { i: 'logs-raw,logs-small', t: `${at.toISOString()}..${new Date(shared.last + 1).toISOString()}` })
  const heights = () => page.locator('rect.bar').evaluateAll(all => all.map(bar => Number(bar.getAttribute('height'))))
  const first = async () => (await heights())[0]! / Math.max(...(await heights()))
  expect(await first()).toBeLessThan(0.05)
  await page.getByRole('button', { name: 'log axis' }).click()
  await expect.poll(first).toBeGreaterThan(0.05)
  await page.reload()
  await expect.poll(first).toBeGreaterThan(0.05)
})

test('B15: Escape ends a search', async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared) })
  await page.route(/_search/, async route => {
    await new Promise(resolve => setTimeout(resolve, 3000))
    await route.continue().catch(() => {})
  })
  const failed = page.waitForEvent('requestfailed')
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.fill('level: error')
  await query.press('Escape')
  await query.press('Enter')
  await expect(page.getByText(/Searching … [12] s/)).toBeVisible()
  await page.keyboard.press('Escape')
  expect((await failed).failure()!.errorText).toContain('ABORTED')
  expect((await column(page, 'message')).length).toBeGreaterThan(10)
  await page.unroute(/_search/)
  await query.press('Enter')
  await expect.poll(() => hits(page)).toBe(SMALL / 10)
})

test('B16: searches are saved, renamed and deleted; long addresses get a short form', async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), q: 'level: info', f: '-status:200', c: '@timestamp,status,message' })
  const found = await hits(page)
  expect(found).toBe(await shared.pond.count('logs-small', and(term('level.keyword', 'info'), not(term('status', 200)))))
  expect(found).toBeGreaterThan(0)
  await page.keyboard.press('s')
  const dialog = page.getByRole('dialog', { name: 'Saved searches' })
  await dialog.getByLabel(/Title/).fill('Failures of note')
  await dialog.getByLabel('With its time range').check()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await expect(dialog.getByRole('button', { name: 'Failures of note' })).toBeVisible()
  await shared.pond.stop()
  await shared.pond.start()
  await page.goto(`${shared.pond.address}/_ui/`)
  await page.getByRole('button', { name: 'Saved searches' }).click()
  await dialog.getByRole('button', { name: 'Failures of note' }).click()
  await expect.poll(() => hits(page)).toBe(found)
  expect([param(page, 'q'), param(page, 'f'), param(page, 'c')]).toEqual([['level: info'], ['-status:200'], ['@timestamp,status,message']])
  await page.getByRole('button', { name: 'Saved searches' }).click()
  await dialog.getByRole('button', { name: 'Rename' }).click()
  await dialog.getByRole('textbox').last().fill('Renamed')
  await dialog.getByRole('button', { name: 'Rename' }).click()
  await expect(dialog.getByRole('button', { name: 'Renamed' })).toBeVisible()
  page.once('dialog', ask => void ask.accept())
  await dialog.getByRole('button', { name: 'Delete' }).click()
  await expect(dialog.getByText('Nothing is saved yet')).toBeVisible()
  await page.keyboard.press('Escape')
  await expect(dialog).toBeHidden()
  const long = Array.from({ length: 400 }, (_, n) => `not n: ${100_000 + n}`).join(' and ')
  const query = page.getByRole('combobox', { name: 'Search' })
  await query.fill(long)
  await query.press('Escape')
  await query.press('Enter')
  await expect(page).toHaveURL(/\?st=[0-9a-f]{12}$/)
  const all = await shared.pond.count('logs-small', not(term('status', 200)))
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', String(all))
  await page.reload()
  await expect(query).toHaveValue(long)
  await expect(page.locator('[data-hits]')).toHaveAttribute('data-hits', String(all))
  // What the page keeps is in no search.
  expect((await shared.pond.ask('POST', '/_search', { query: { match: { kind: 'state' } } })).hits.total.value).toBe(0)
})

/** A text of kind `n`, of forty: words of its own, and places for what changes. */
function ofKind(kind: number, n: number): string {
  const word = (at: number) => ['alder', 'birch', 'cedar', 'dogwood', 'elm', 'fir', 'ginkgo', 'hazel', 'iris', 'juniper'][at % 10]!
  const user = `user${String.fromCharCode(97 + (n % 26))}`
  const heads = ['Opened', 'Closed', 'Refused', 'Queued', 'Expired']
  const shapes = [
    `${heads[kind >> 3]} connection to ${word(kind)} from 10.0.${n % 256}.${kind} port ${1024 + (n % 60_000)}`,
    `${heads[kind >> 3]} ${word(kind)} cache: ${n} entries, hit rate ${n % 100}%`,
    `user=${user} ${heads[kind >> 3]!.toLowerCase()} session on ${word(kind)} after ${n} ms`,
    `[${word(kind)}] ${heads[kind >> 3]} request ${(n * 7919).toString(16)}0 in ${n % 900} ms`,
    `${heads[kind >> 3]} job ${word(kind)}-${n} for tenant "${user}"`,
    `disk ${word(kind)}: ${heads[kind >> 3]!.toLowerCase()} ${n} blocks (${n % 100} pending)`,
    `${heads[kind >> 3]} lease of ${word(kind)} until 2026-11-21T10:${String(n % 60).padStart(2, '0')}:00Z`,
    `worker ${n % 16} ${heads[kind >> 3]!.toLowerCase()} batch of ${word(kind)} events\n  at step ${n}`,
  ]
  return shapes[kind % 8]!
}

test('B12: patterns are those that the lines were made of, and are searched as they are counted', async ({ page }) => {
  // A hundred thousand lines, into a binary that was not built to be fast.
  test.setTimeout(600_000)
  const LINES = 100_000
  const KINDS = 40
  const pond = new Pond()
  await pond.start()
  try {
    const last = Date.now() - 60_000
    const counts = new Array<number>(KINDS).fill(0)
    await pond.bulk('logs-lines', Array.from({ length: LINES }, (_, n) => {
      const kind = (n * 31 + (n >> 5)) % KINDS
      counts[kind]!++
      return { '@timestamp': new Date(last - (LINES - n) * 5).toISOString(), message: ofKind(kind, n) }
    }))
    await discover(page, pond, { t: 'now-1h..now', v: 'patterns' })
    const summary = page.locator('[data-unclustered]')
    await expect(summary).toHaveAttribute('data-total', String(LINES), { timeout: 60_000 })
    await expect(summary).toContainText('exact')
    const rows = await page.locator('tr[data-template]').evaluateAll(all => all.map(row => ({ template: row.getAttribute('data-template')!, count: Number(row.querySelector('[data-count]')!.getAttribute('data-count')) })))
    const sum = rows.reduce((sum, { count }) => sum + count, 0)
    const [unclustered, others] = [Number(await summary.getAttribute('data-unclustered')), Number(await summary.getAttribute('data-others'))]
    expect(sum + unclustered + others).toBe(LINES)
    // A kind is found when a pattern has as many lines as were made of it.
    const left = rows.map(({ count }) => count)
    const found = counts.filter(count => left.includes(count) && left.splice(left.indexOf(count), 1))
    console.log(`${found.length} of ${KINDS} kinds are patterns of their own; ${rows.length} patterns`)
    expect(found.length).toBeGreaterThanOrEqual(38)
    for (const { template, count } of rows.slice(0, 6)) {
      expect(await pond.count('logs-lines', { template: { message: template } }), template).toBe(count)
    }
    const first = page.locator('tr[data-template]').first()
    const { count } = rows[0]!
    await first.getByRole('button', { name: /^Only with/ }).click()
    await expect.poll(() => hits(page)).toBe(count)
    expect(param(page, 'f')[0]).toMatch(/^\+message:~"/)
    await page.getByRole('group', { name: 'View' }).getByRole('button', { name: 'Events' }).click()
    await expect.poll(() => bars(page)).toBe(count)
    await page.reload()
    await expect.poll(() => hits(page)).toBe(count)
  } finally {
    await pond.end()
  }
})

test('B4: the statistics of fields are those of aggregations', everywhere, async ({ page, shared }) => {
  await discover(page, shared.pond, { t: fixed(shared), v: 'stats', q: 'n < 20000' })
  const expected = (await shared.pond.ask('POST', '/logs-small/_search', {
    size: 0, query: range('n', { lt: 20_000 }), aggs: { level: { terms: { field: 'level.keyword', size: 3 } }, n: { stats: { field: 'n' } } },
  })).aggregations
  const row = page.locator('tr[data-field="level"]')
  await expect(row.locator('[data-have]')).toHaveAttribute('data-have', String(await hits(page)))
  await expect(row.locator('[data-distinct]')).toHaveAttribute('data-distinct', '3')
  const first = expected.level.buckets[0]
  await expect(row.locator('.top div').first()).toContainText(`${first.key} ${first.doc_count.toLocaleString('en-US')}`)
  await expect(page.locator('tr[data-field="n"]')).toContainText(`from ${expected.n.min.toLocaleString('en-US')} to ${expected.n.max.toLocaleString('en-US')}`)
})

test('B14: a store that is away leaves the rows; the histogram fails alone', everywhere, async ({ page, shared }) => {
  await shared.pond.bulk('logs-away', [{ '@timestamp': new Date().toISOString(), message: 'still here' }])
  await discover(page, shared.pond, { i: 'logs-away' })
  await page.route(/_search/, route => (route.request().postData()?.includes('date_histogram') ? route.fulfill({ status: 503, json: { error: { reason: 'no bars today' } } }) : route.continue()))
  await page.getByRole('button', { name: 'Refresh now' }).click()
  await expect(page.getByText('The histogram failed: no bars today')).toBeVisible()
  expect(await column(page, 'message')).toEqual(['still here'])
  await page.unroute(/_search/)
  await page.getByRole('button', { name: 'Try again' }).click()
  await expect(page.getByText('The histogram failed')).toBeHidden()
  // It is lost while a search is under way.
  await shared.pauseStore()
  await page.getByRole('button', { name: 'Refresh now' }).click()
  await expect(page.getByText(/Searching … \d+ s/)).toBeVisible()
  await shared.loseStore()
  await expect(page.getByText(/next try in \d+ s/)).toBeVisible()
  expect(await column(page, 'message')).toEqual(['still here'])
  await shared.bringStore()
  await expect(page.getByText(/next try in/)).toBeHidden({ timeout: 60_000 })
  expect(await column(page, 'message')).toEqual(['still here'])
})
