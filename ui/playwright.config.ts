import { defineConfig } from '@playwright/test'
import { existsSync } from 'node:fs'

const chromium = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync)
if (!chromium) throw new Error('missing: chromium (apt-get install chromium), or its path in $CHROMIUM')

export default defineConfig({
  testDir: 'tests',
  // One binary, one browser: the tests share a small machine with others.
  workers: 1,
  timeout: 120_000,
  expect: { timeout: 20_000 },
  forbidOnly: true,
  reporter: [['list']],
  use: {
    viewport: { width: 1280, height: 800 },
    locale: 'en-US',
    timezoneId: 'UTC',
    permissions: ['clipboard-read', 'clipboard-write'],
    launchOptions: { executablePath: chromium, args: ['--no-sandbox', '--disable-gpu'] },
    actionTimeout: 20_000,
  },
})
