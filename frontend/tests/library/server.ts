import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))

interface Wanted {
  env?: Record<string, string>
  workers?: number
}

export interface SimulatorRequest {
  path: string
  model: string
  messages: { role: string; content: unknown }[]
  finished: boolean
  cut_by_client: boolean
}

/** A Sora with a simulator behind it (tests/support/frontend.py), which ends with this process at the latest. */
export class Server {
  static async start(wanted: Wanted = {}): Promise<Server> {
    const python = spawn('.venv/bin/python', ['-m', 'tests.support.frontend', JSON.stringify(wanted)], {
      cwd: ROOT,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    const lines = createInterface({ input: python.stdout })[Symbol.asyncIterator]()
    const next = async () => {
      const line = await lines.next()
      if (line.done) throw new Error('the server is gone')
      return JSON.parse(line.value) as Record<string, unknown>
    }
    const { url } = await next()
    const ended = new Promise<void>((resolve) => python.once('exit', () => resolve()))
    return new Server(
      url as string,
      (command) => {
        python.stdin.write(`${JSON.stringify(command)}\n`)
        return next()
      },
      () => {
        python.stdin.end()
        return ended
      },
    )
  }

  private constructor(
    readonly url: string,
    private readonly say: (command: object) => Promise<Record<string, unknown>>,
    readonly stop: () => Promise<void>,
  ) {}

  /** The address of a way to the server whose first connections are cut after so many bytes of what the server says. */
  async cutter(after: number[]): Promise<string> {
    return `http://127.0.0.1:${(await this.say({ do: 'cutter', after })).port as number}`
  }

  /** How many connections the last cutter has cut. */
  async cuts(): Promise<number> {
    return (await this.say({ do: 'cuts' })).cuts as number
  }

  /** Kills the workers, all of them; others are there afterwards. */
  async kill(): Promise<void> {
    await this.say({ do: 'kill' })
  }

  async down(): Promise<void> {
    await this.say({ do: 'stop' })
  }

  async up(): Promise<void> {
    await this.say({ do: 'start' })
  }

  /** What the model was asked: one for each generation. */
  async generations(): Promise<SimulatorRequest[]> {
    const { requests } = await this.say({ do: 'requests' })
    return (requests as SimulatorRequest[]).filter(({ path }) => !path.includes('embeddings'))
  }

  async forget(): Promise<void> {
    await this.say({ do: 'clear' })
  }
}
