/** The language of the console: its catalog, the form of dates and numbers, and the direction of text. */

import { i18n, type MessageDescriptor, type MessageOptions, type Messages } from '@lingui/core';
import { compileMessage } from '@lingui/message-utils/compileMessage';
import { keepText, keptText } from './kept';

// Values are data, but the library decodes escapes in the finished text, such as \x41, and looks there for its sign of #.
const textOf = i18n._.bind(i18n);
i18n._ = (message: string | MessageDescriptor, values?: Record<string, unknown>, options?: MessageOptions) =>
  typeof message === 'string'
    ? textOf(message, escaped(values), options)
    : textOf({ ...message, values: escaped(message.values) });

function escaped(values: Record<string, unknown> = {}): Record<string, unknown> {
  const escape = (value: string) => value.replace(/\\(?=[ux])/g, '\\x5c').replace(/%(?=__lingui)/g, '\\x25');
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? escape(value) : value]),
  );
}

/** The languages to choose from, each by its own name. */
const LANGUAGES: Record<string, string> = { en: 'English', de: 'Deutsch' };

/**
 * Pseudo-locales for tests. `en-XA` makes each text longer and accented, so that untranslated texts and narrow places
 * are visible. `ar-XB` shows English from right to left.
 */
const PSEUDO = ['en-XA', 'ar-XB'];

/** Language → the catalog for the first page, and the one for the others. */
const CATALOGS: Record<string, Record<'first' | 'others', () => Promise<{ messages: Messages }>>> = {
  de: { first: () => import('./locales/de/first.po'), others: () => import('./locales/de/others.po') },
};

const CHOICE = 'greenroom.language';

/** The chosen language, or the first language of the browser that has a catalog; otherwise English. */
export function languageOf(chosen: string | null, preferred: readonly string[]): string {
  const known = [...Object.keys(LANGUAGES), ...PSEUDO];
  if (chosen !== null && known.includes(chosen)) return chosen;
  const wanted = preferred.map((tag) => tag.split('-')[0] ?? '');
  return wanted.find((language) => language in LANGUAGES) ?? 'en';
}

/** The locale of dates and numbers: that of the browser if it has the language of the console, e.g. `en-GB`. */
export function localeOf(language: string, preferred: readonly string[]): string {
  return preferred.find((tag) => tag.split('-')[0] === language) ?? language;
}

/** Gives libraries a language to format numbers in. On a Linux without a locale, browsers report "C", which `Intl` refuses. */
export function correctTag(language: string): void {
  try {
    Intl.getCanonicalLocales(navigator.language);
  } catch {
    Object.defineProperty(navigator, 'language', { value: language, configurable: true });
  }
}

/** Loads the texts of the language and makes it the language of the page. */
export async function activateLanguage(): Promise<void> {
  const language = languageOf(keptText(CHOICE), navigator.languages);
  correctTag(language);
  // English has no catalog: its messages are in the code that shows them.
  i18n.setMessagesCompiler((message) => compileMessage(message, language === 'en-XA' ? accented : undefined));
  const messages = (await CATALOGS[language]?.first())?.messages ?? {};
  i18n.loadAndActivate({ locale: language, locales: localeOf(language, navigator.languages), messages });
  document.documentElement.lang = language;
  document.documentElement.dir = language === 'ar-XB' ? 'rtl' : 'ltr';
}

let others: Promise<void> | undefined;

/** Loads the texts that the first page does not need, once. */
export function loadOtherTexts(): Promise<void> {
  const load = async () => i18n.load(i18n.locale, (await CATALOGS[i18n.locale]?.others())?.messages ?? {});
  others ??= load().catch((error: unknown) => {
    others = undefined;
    throw error;
  });
  return others;
}

/** The languages that the page does not have, each with its own name. */
export function otherLanguages(): [string, string][] {
  return Object.entries(LANGUAGES).filter(([language]) => language !== i18n.locale);
}

/** Keeps the choice in this browser and shows the page in this language. */
export function chooseLanguage(language: string): void {
  keepText(CHOICE, language);
  location.reload();
}

/** The locale of dates and numbers of this page. */
export function locale(): string {
  return typeof i18n.locales === 'string' ? i18n.locales : i18n.locale;
}

const VOWELS: Record<string, string> = { a: 'á', e: 'é', i: 'í', o: 'ó', u: 'ú', A: 'Á', E: 'É', O: 'Ó', U: 'Ú' };

/** A text of the pseudo-locale: a third longer, with accents. Its lines can break, as those of words. */
function accented(text: string): string {
  const changed = text.replace(/[aeiouAEOU]/g, (letter) => VOWELS[letter] ?? letter);
  const longer = '~'.repeat(Math.ceil(text.trim().length / 3));
  return changed + longer.replace(/~{8}(?=~)/g, '$& ');
}
