import { fileURLToPath } from 'node:url'

import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// `npm run dev` passes everything but the pages on to a Sora that runs (`make run`).
const sora = { target: process.env.SORA_URL ?? 'http://127.0.0.1:8000', changeOrigin: true }

export default defineConfig(({ command }) => ({
  // Built files name each other relatively: Sora may be mounted under a prefix of its host's.
  base: command === 'build' ? './' : '/app/',
  plugins: [react()],
  resolve: {
    // Of a formula's HTML: the variant for browsers has them parse it, which the CSP takes for inline styles.
    alias: {
      'hast-util-from-html-isomorphic': fileURLToPath(
        new URL('node_modules/hast-util-from-html-isomorphic/lib/index.js', import.meta.url),
      ),
    },
  },
  server: { proxy: { '/api': sora, '/chat': sora, '/stream': sora } },
  build: {
    manifest: true,
    // A font or picture in a style sheet would weigh on every page, and the CSP knows no data: fonts.
    assetsInlineLimit: 0,
  },
}))
