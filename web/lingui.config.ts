import { defineConfig } from '@lingui/conf';
import { formatter } from '@lingui/format-po';

/** The catalogs of the console: one file per language in src/locales. `npm run extract` adds new messages to them. */
export default defineConfig({
  sourceLocale: 'en',
  locales: ['de'],
  catalogs: [{ path: 'src/locales/{locale}', include: ['src'], exclude: ['src/generated'] }],
  format: formatter({ origins: false }),
  orderBy: 'message',
});
