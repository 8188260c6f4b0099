import { i18n } from '@lingui/core';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { shortDuration } from '../src/components/clock';
import { bytes, milliseconds } from '../src/components/format';
import { amountIn } from '../src/components/units';
import { keepText, keptText } from '../src/kept';
import { correctTag, languageOf, localeOf } from '../src/language';
import { messages } from '../src/locales/de/first.po';

describe('the language of the console', () => {
  test.each([
    [null, ['de-AT', 'en'], 'de'],
    [null, ['fr', 'de', 'en'], 'de'],
    [null, ['fr-CA'], 'en'],
    [null, [], 'en'],
    ['en', ['de'], 'en'],
    ['xx', ['de'], 'de'],
    ['ar-XB', ['de'], 'ar-XB'],
  ])('with the choice %s and the languages %j of the browser is %s', (chosen, preferred, language) =>
    expect(languageOf(chosen, preferred)).toBe(language),
  );

  test.each([
    ['en', ['en-GB', 'en'], 'en-GB'],
    ['de', ['en-GB', 'de-CH'], 'de-CH'],
    ['en', ['de'], 'en'],
  ])('%s with %j has dates and numbers of %s', (language, preferred, locale) =>
    expect(localeOf(language, preferred)).toBe(locale),
  );
});

test.each([
  ['C', 'de'],
  ['en-GB', 'en-GB'],
])('a browser that reports the language %s has numbers of %s', (reported, language) => {
  vi.stubGlobal('navigator', { language: reported });
  correctTag('de');
  expect(navigator.language).toBe(language);
  vi.unstubAllGlobals();
});

test('in a browser that keeps no texts, no language is chosen', () => {
  const refuse = () => {
    throw new Error('SecurityError');
  };
  vi.stubGlobal('localStorage', { getItem: refuse, setItem: refuse, removeItem: refuse });
  keepText('language', 'de');
  keepText('language', null);
  expect(keptText('language')).toBeNull();
  vi.unstubAllGlobals();
});

describe('in German', () => {
  afterEach(() => i18n.loadAndActivate({ locale: 'en', messages: {} }));

  test('numbers have a decimal comma, and units have German names', () => {
    i18n.loadAndActivate({ locale: 'de', messages });
    expect(bytes(1_250_000_000)).toBe('1,3 GB');
    expect(milliseconds(12.34)).toBe('12,3 ms');
    expect(amountIn(5_400, 's')).toBe('90 Minuten');
    expect(amountIn(1, 'attempts')).toBe('1 Versuch');
    expect(shortDuration(7_140)).toBe('1 h 59 min');
  });
});
