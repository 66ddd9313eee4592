/** Real servers for tests, which `tests/services` starts and ends; its serve.sh says how one speaks with it. */

import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

// A million events that come as fast as they are taken need room.
const HEAP = process.env.LOGPOND_LARGE ? '1g' : '384m'

export type ServerName = 'elasticsearch' | 'opensearch'

export class RealServer {
  address = ''
  #child: ChildProcess
  #said = ''
  #hears: () => void = () => {}
  #gone: Promise<unknown>

  private constructor(name: ServerName) {
    this.#child = spawn(fileURLToPath(new URL('../../tests/services/services', import.meta.url)), ['run', name, `heap=${HEAP}`])
    this.#child.stdout!.on('data', data => {
      this.#said += data
      this.#hears()
    })
    this.#gone = new Promise(resolve => this.#child.on('exit', resolve))
  }

  /** Starts one that is nobody else's; it answers when this returns. */
  static async start(name: ServerName): Promise<RealServer> {
    const server = new RealServer(name)
    await server.#hear('ready')
    server.address = `http://${/^address=(.*)$/m.exec(server.#said)![1]}`
    return server
  }

  /** Tells its supervisor what to do with the server, and waits until it is done. */
  async tell(verb: 'pause' | 'kill' | 'start'): Promise<void> {
    this.#said = ''
    this.#child.stdin!.write(`${verb} 0\n`)
    await this.#hear('ok')
  }

  /** Ends it; what it held goes with it. */
  async end(): Promise<void> {
    this.#child.stdin!.end()
    await this.#gone
  }

  #hear(line: string): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#hears = () => this.#said.split('\n').includes(line) && resolve()
      this.#hears()
      void this.#gone.then(() => reject(new Error(`the server ended: ${this.#said}`)))
    })
  }
}
