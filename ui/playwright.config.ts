import { defineConfig } from '@playwright/test'
import { existsSync } from 'node:fs'
import type { Backend } from './tests/pond'

const chromium = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!chromium) throw new Error('missing: chromium (apt-get install chromium), or its path in $CHROMIUM')

// What is marked so is asked of each store that the page may be over.
const everywhere = /@everywhere/

export default defineConfig<object, { backend: Backend }>({
  testDir: 'tests',
  // One binary, one browser: the tests share a small machine with others.
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list']],
  projects: [
    { name: 'logpond', use: { backend: 'logpond' } },
    { name: 'elasticsearch', grep: everywhere, use: { backend: 'elasticsearch' } },
    { name: 'opensearch', grep: everywhere, use: { backend: 'opensearch' } },
  ],
  use: {
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    permissions: ['clipboard-read', 'clipboard-write'],
    launchOptions: { executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'] },
    actionTimeout: 20_000,
  },
})
