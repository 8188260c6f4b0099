import { readFileSync } from 'node:fs';
import { i18n } from '@lingui/core';
import { formatter } from '@lingui/format-po';
import { type CompiledMessage, compileMessage } from '@lingui/message-utils/compileMessage';
import { I18nProvider } from '@lingui/react';
import { createElement, Fragment } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { beforeAll, describe, expect, test } from 'vitest';
import { Trans } from '../src/components/Trans';
import '../src/language';

/** Names that could be markup, places or escapes of a message. */
const HOSTILE = [
  '<b>bold</b>',
  '<0>null</0> {name}',
  '<1/>',
  '%s%n{name}{0}',
  `O'Brien "quoted" & '{sons}'`,
  'back\\x41slash \\u0042',
  '# {count, plural, other {#}}',
  '%__lingui_octothorpe__%',
  '\u202egnp.exe',
  '\ufeffbom\u2028line',
  '$& $1 null',
];

/** All texts of the catalogs in English and German, by the text itself. */
const TEXTS = new Set(
  ['first', 'others'].flatMap((name) => {
    const file = readFileSync(`${import.meta.dirname}/../src/locales/de/${name}.po`, 'utf8');
    const context = { locale: 'de', sourceLocale: 'en', filename: name };
    const entries = Object.entries(formatter().parse(file, context) as Record<string, Entry>);
    return entries.flatMap(([id, { message, translation }]) => [message ?? id.replace(/^server:/, ''), translation]);
  }),
);

interface Entry {
  message?: string;
  translation: string;
}

/** The values of a message: texts, and numbers that choose a form. */
function placesOf(message: CompiledMessage, texts = new Set<string>(), numbers = new Set<string>()) {
  for (const part of message) {
    if (typeof part === 'string') continue;
    const [name, type, forms] = part;
    (type ? numbers : texts).add(name);
    for (const form of Object.values(forms ?? {})) {
      if (Array.isArray(form)) placesOf(form as CompiledMessage, texts, numbers);
    }
  }
  return { texts: [...texts], numbers: [...numbers] };
}

function valuesOf(message: string, name: string): Record<string, string | number> | undefined {
  const { texts, numbers } = placesOf(compileMessage(message));
  if (texts.length === 0) return undefined;
  const values: [string, string | number][] = [];
  for (const each of numbers) values.push([each, 3]);
  for (const each of texts) values.push([each, name]);
  return Object.fromEntries(values);
}

const COMPONENTS = Object.fromEntries(
  Array.from({ length: 10 }, (_, key) => [key, createElement('i', { id: `${key}` })]),
);

/** The page of a message with elements. */
function page(message: string, values: Record<string, unknown>): string {
  const text = createElement(Trans, { id: message, values, components: COMPONENTS });
  return renderToStaticMarkup(createElement(I18nProvider, { i18n, children: text }));
}

/** How a page shows a text. */
function shown(text: string): string {
  return renderToStaticMarkup(createElement(Fragment, null, text));
}

beforeAll(() => i18n.setMessagesCompiler((message) => compileMessage(message)));

/** Thousands of texts take several seconds on a busy machine. */
const MANY_TEXTS_MS = 60_000;

describe('a name in a message is data', () => {
  const name = HOSTILE.join(' ');

  test(
    'of every text of the catalogs',
    () => {
      let checked = 0;
      for (const message of TEXTS) {
        const [plain, hostile] = [valuesOf(message, 'NAME'), valuesOf(message, name)];
        if (!plain || !hostile) continue;
        checked++;
        expect(i18n._(message, hostile)).toBe(i18n._(message, plain).replaceAll('NAME', () => name));
        expect(page(message, hostile)).toBe(page(message, plain).replaceAll('NAME', () => shown(name)));
      }
      expect(checked).toBeGreaterThan(2000);
    },
    MANY_TEXTS_MS,
  );

  test.each(HOSTILE)('%j, alone', (each) => {
    expect(i18n._('{0} in {1}', { 0: each, 1: each })).toBe(`${each} in ${each}`);
    expect(page('{0}<0> starts</0>', { 0: each })).toBe(`${shown(each)}<i id="0"> starts</i>`);
  });

  test('and an element remains an element', () => {
    const bold = createElement('b', null, 'now');
    expect(page('<0>{name}</0> {when}', { name: '<1/>', when: bold })).toBe('<i id="0">&lt;1/&gt;</i> <b>now</b>');
  });
});
