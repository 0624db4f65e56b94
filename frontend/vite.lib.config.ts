import { copyFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { defineConfig } from 'vite'
import dts from 'vite-plugin-dts'

const HERE = import.meta.dirname
const SOURCE = resolve(HERE, 'src/sora')
const TARGET = resolve(HERE, 'lib')

/** The client library as an npm package, in lib/: `npm run build:lib`, then `npm pack ./lib`. */
export default defineConfig({
  plugins: [
    dts({ entryRoot: SOURCE, include: [SOURCE], outDirs: TARGET }),
    {
      name: 'package',
      closeBundle: () => {
        for (const file of ['package.json', 'README.md']) copyFileSync(resolve(SOURCE, file), resolve(TARGET, file))
      },
    },
  ],
  build: {
    outDir: TARGET,
    emptyOutDir: true,
    target: 'es2022',
    minify: false,
    sourcemap: true,
    lib: { entry: resolve(SOURCE, 'index.ts'), formats: ['es'], fileName: 'index' },
    rolldownOptions: { external: /^(react|eventsource-parser)(\/|$)/ },
  },
})
