import { execFile } from 'node:child_process'
import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

import * as library from '../../src/sora'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

describe('the library', () => {
  it('knows nothing of the app', async () => {
    const files = (await readdir(`${ROOT}src/sora`)).filter((name) => /\.tsx?$/.test(name))
    expect(files.length).toBeGreaterThan(10)
    for (const file of files) {
      const from = Array.from((await readFile(`${ROOT}src/sora/${file}`, 'utf8')).matchAll(/from '([^']+)'/g), ([, path]) => path)
      for (const path of from) expect(path).toMatch(/^(\.\/\w+|react|eventsource-parser)$/)
    }
  })

  it('is a package with the same names, and types', { timeout: 180_000 }, async () => {
    await promisify(execFile)('npm', ['run', 'build:lib'], { cwd: ROOT, env: { ...process.env, NODE_ENV: 'production' } })
    const built = (await import(/* @vite-ignore */ pathToFileURL(`${ROOT}lib/index.js`).href)) as object
    expect(Object.keys(built).sort()).toEqual(Object.keys(library).sort())
    const { types } = JSON.parse(await readFile(`${ROOT}lib/package.json`, 'utf8')) as { types: string }
    expect(await readFile(`${ROOT}lib/${types}`, 'utf8')).toContain('useRun')
    const code = await readFile(`${ROOT}lib/index.js`, 'utf8')
    expect(code.includes('react.transitional')).toBe(false) // React is the app's own
  })
})
