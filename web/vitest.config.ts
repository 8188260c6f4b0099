import { defineConfig } from 'vitest/config';
import { translated } from './translated';

export default defineConfig({
  plugins: translated,
  test: { include: ['tests/**/*.test.ts'], setupFiles: ['tests/setup.ts'] },
});
