import react from '@vitejs/plugin-react'
import { defineConfig } from 'vitest/config'

export default defineConfig({
  plugins: [react()],
  test: {
    include: ['tests/**/*.test.{ts,tsx}'],
    // A server of Sora's own is started for most files.
    hookTimeout: 180_000,
    testTimeout: 90_000,
    maxWorkers: 2,
  },
})
