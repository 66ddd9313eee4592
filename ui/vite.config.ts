import { svelte } from '@sveltejs/vite-plugin-svelte'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** The sum over all sources, by which a Rust test (crates/web/src/page.rs) knows a stale bundle. */
function sumOfSources(): string {
  const folder = import.meta.dirname
  const below = (name: string) =>
    readdirSync(join(folder, name), { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile())
      .map(entry => join(entry.parentPath, entry.name).slice(folder.length + 1))
  const files = ['index.html', 'package-lock.json', 'vite.config.ts', ...below('src'), ...below('public')]
  let sum = 0
  for (const name of files.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))) {
    sum = crc32(`${name}\0`, sum)
    sum = crc32(readFileSync(join(folder, name)), sum)
    sum = crc32('\0', sum)
  }
  return sum.toString(16).padStart(8, '0')
}

/** What else the binary serves beside the script: the sum, and the licence of what is built in. */
const notes: Plugin = {
  name: 'notes',
  apply: 'build',
  generateBundle() {
    const licence = readFileSync(join(import.meta.dirname, 'node_modules/svelte/LICENSE.md'), 'utf8')
    this.emitFile({ type: 'asset', fileName: 'sources.txt', source: sumOfSources() + '\n' })
    this.emitFile({ type: 'asset', fileName: 'third-party.txt', source: `svelte (https://svelte.dev)\n\n${licence}` })
  },
}

const pond = process.env.LOGPOND ?? 'http://127.0.0.1:9200'

export default defineConfig({
  base: '/_ui/',
  plugins: [svelte(), notes],
  build: {
    outDir: '../crates/web/assets',
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2022',
  },
  server: { proxy: { '^/(?!_ui/)': { target: pond } } },
})
