import { defineConfig } from '@lingui/conf';
import { formatter } from '@lingui/format-po';

/** The beginnings of the paths of modules that the first page needs. The build fails if it needs others with texts. */
export const FIRST = [
  'src/api/',
  'src/app/',
  'src/components/',
  'src/pages/Login',
  'src/pages/launcher/',
  'src/pages/session/opening',
  'src/pages/share/SharedWithMe',
  'src/places',
  'src/theme/',
  'src/why/WhyButton',
  'src/why/WhyRefused',
];

const po = formatter({ origins: false });
const { compare } = new Intl.Collator('en-US');

/** Messages with the same text have the order of their ids, which does not depend on the order of the files. */
function byMessage([id, { message = '' }]: Entry, [otherId, { message: other = '' }]: Entry): number {
  return compare(message, other) || compare(id, otherId);
}

type Entry = [id: string, { message?: string }];

/**
 * The catalogs of a language: one for the first page, and one for the other pages, which is loaded with the first of
 * these. `npm run extract` adds new messages to them.
 */
export default defineConfig({
  sourceLocale: 'en',
  locales: ['de'],
  catalogs: [
    { path: 'src/locales/{locale}/first', include: FIRST.map((path) => `${path}**`) },
    {
      path: 'src/locales/{locale}/others',
      include: ['src'],
      exclude: ['src/generated', ...FIRST.map((path) => `${path}**`)],
    },
  ],
  format: {
    ...po,
    serialize: (catalog, context) => po.serialize(Object.fromEntries(Object.entries(catalog).sort(byMessage)), context),
  },
});
