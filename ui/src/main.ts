import './app.css'
import { mount } from 'svelte'
import App from './App.svelte'
import { startLanguage, words } from './lib/i18n.svelte'
import { theme } from './lib/theme.svelte'

theme.start()
await words.use(startLanguage())
mount(App, { target: document.getElementById('app')! })
