/**
 * Translates sentences of the server. The catalogs have a template for each, such as `{0} of {1} not staged: {2}.`; a
 * value may be a sentence, too. `{name0}` is a name, which is not translated, and `{number0}` matches numbers only.
 */

import { i18n } from '@lingui/core';

const PREFIX = 'server:';
/** The deepest sentence in sentences. */
const DEEPEST = 6;
/** The maximum number of texts whose translations are kept. */
const MOST_KEPT = 2000;

interface Template {
  id: string;
  /** The texts before, between and after the values. The first one has a lower-case letter at its beginning. */
  texts: string[];
  places: string[];
  letters: number;
}

interface Catalog {
  exact: Map<string, string>;
  /** Those with the most letters first: the first one that matches is the best. */
  templates: Template[];
  /** The first word of a text → the templates that can match it. */
  ofWord: Map<string, Template[]>;
}

let catalog: Catalog | undefined;
/** Text → its translation; undefined = it has none. */
const kept = new Map<string, string | undefined>();
i18n.on('change', () => {
  catalog = undefined;
  kept.clear();
});

/** The translation of a text of the server; the text itself if no template matches. */
export function serverText(text: string): string {
  return translated(text, 0) ?? text;
}

/** Whether the language of the page has texts of the server. English has none. */
function hasServerTexts(): boolean {
  return current().exact.size > 0;
}

function current(): Catalog {
  if (catalog) return catalog;
  const exact = new Map<string, string>();
  const templates: Template[] = [];
  for (const id of Object.keys(i18n.messages)) {
    if (!id.startsWith(PREFIX)) continue;
    const [, text] = split(id.slice(PREFIX.length));
    const texts = text.split(/\{\w+\}/);
    if (texts.length === 1) exact.set(lowered(text), id);
    else {
      texts[0] = lowered(texts[0] ?? '');
      const places = [...text.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name);
      templates.push({ id, texts, places, letters: texts.join('').length });
    }
  }
  templates.sort((one, other) => other.letters - one.letters);
  return (catalog = { exact, templates, ofWord: new Map() });
}

/** The first word of a text, with the space after it; empty if the text has no space. */
function wordOf(text: string): string {
  return text.slice(0, text.indexOf(' ') + 1);
}

/** A text without the spaces and punctuation marks at its ends, which a sentence around it may change. */
function split(text: string): [before: string, text: string, after: string] {
  const [before = ''] = /^[\s.,:;]*/.exec(text) ?? [];
  let end = text.length;
  while (end > before.length && /[\s.,:;]/.test(text.charAt(end - 1))) end--;
  return [before, text.slice(before.length, end), text.slice(end)];
}

function lowered(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

/** The templates that begin as the text or with a value, those with the most letters first. */
function candidates(text: string): Template[] {
  const { templates, ofWord } = current();
  const word = wordOf(text);
  let found = ofWord.get(word);
  if (!found) {
    found = templates.filter(({ texts: [first = ''] }) => !first || wordOf(first) === word || text.startsWith(first));
    if (ofWord.size >= MOST_KEPT) ofWord.clear();
    ofWord.set(word, found);
  }
  return found;
}

/** The translation; undefined = no template matches. */
function translated(text: string, depth: number): string | undefined {
  if (kept.has(text)) return kept.get(text);
  const found = depth > DEEPEST ? undefined : newlyTranslated(text, depth);
  if (kept.size >= MOST_KEPT) kept.clear();
  kept.set(text, found);
  return found;
}

function newlyTranslated(whole: string, depth: number): string | undefined {
  const [before, text, after] = split(whole);
  if (QUANTITY.test(text)) return before + withDecimalSign(text) + after;
  if (!/[A-Za-z]{2}/.test(text)) return undefined;
  const found = ofTemplate(text, depth) ?? inParts(text, depth);
  if (found === undefined) return undefined;
  const isUpper = /^[A-Z]/.test(text);
  return before + (isUpper ? found.slice(0, 1).toUpperCase() + found.slice(1) : found) + after;
}

function ofTemplate(text: string, depth: number): string | undefined {
  const key = lowered(text);
  const id = current().exact.get(key);
  if (id !== undefined) return split(i18n._(id))[1];
  for (const template of candidates(key)) {
    const found = valuesOf(key, template.texts) ?? valuesAfterName(key, template);
    if (!found?.every((value, index) => isPossible(template.places[index] ?? '', value, index))) continue;
    if (template.texts[0] === '') found[0] = text.slice(0, found[0]?.length ?? 0);
    const values = Object.fromEntries(
      template.places.map((place, index) => {
        const isName = place.startsWith('name') || isZone(template.texts[index] ?? '', found[index] ?? '');
        const value = found[index] ?? '';
        if (isName) return [place, value];
        const isQuantity = QUANTITY.test(value + (UNIT.exec(template.texts[index + 1] ?? '')?.[0] ?? ''));
        return [place, isQuantity ? withDecimalSign(value) : (translated(value, depth + 1) ?? value)];
      }),
    );
    const sentence = i18n._(template.id, values);
    // A sentence whose first name is another part: its translation must begin with the name, too.
    if (found[0] === '' && !sentence.startsWith(' ')) continue;
    return split(sentence)[1];
  }
  return undefined;
}

/** Whether a value is the name of a zone: the word after "zone". The first zone has the name of a known text, "default". */
function isZone(before: string, value: string): boolean {
  return /\bzone $/i.test(before) && !value.includes(' ');
}

/** A number with a decimal point and a unit. One without a unit can be a version. */
const QUANTITY = /^\d+\.\d+ ?(?:[kMGT]?B|%|ms|s|cores)$/;
const UNIT = /^ ?(?:[kMGT]?B|%|ms|s|cores)(?![\w-])/;

/** The number of a quantity in the language of the page: "3,2 GB". */
function withDecimalSign(quantity: string): string {
  return quantity.replace('.', (1.1).toLocaleString(i18n.locale || 'en').charAt(1));
}

/** The values in a sentence that begins after its first name, e.g. `is disabled` for `{name0} is disabled`. */
function valuesAfterName(text: string, { texts: [first, second = '', ...others], places }: Template) {
  if (first !== '' || !second.startsWith(' ') || !places[0]?.startsWith('name')) return undefined;
  const found = valuesOf(text, [lowered(second.slice(1)), ...others]);
  return found && ['', ...found];
}

const NUMBER = /^[\d.,]+ ?(?:[kMGT]?B|%|ms|s)?$/;

function isPossible(place: string, value: string, index: number): boolean {
  if (place.startsWith('number')) return NUMBER.test(value);
  return !place.startsWith('name') || (!/[.;:] /.test(value) && (value !== '' || index === 0));
}

/** The values between these texts; undefined if the text does not have them in this order. */
function valuesOf(text: string, [first = '', ...texts]: string[]): string[] | undefined {
  if (!text.startsWith(first)) return undefined;
  let start = first.length;
  const values: string[] = [];
  for (const [index, part] of texts.entries()) {
    const isLast = index === texts.length - 1;
    const end = isLast ? text.length - part.length : text.indexOf(part, start);
    if (end < start || (isLast && !text.endsWith(part))) return undefined;
    values.push(text.slice(start, end));
    start = end + part.length;
  }
  return values;
}

/** The ends of sentences and of parts of sentences, the strongest first. */
const ENDS = [/(\. )(?=[A-Z`])/, /(; )/, /(: )/, /( \()/];
/** Lists of words: each word must have a translation. */
const LISTS = [/(, | or | and )/];

/** The translation of the sentences, or the parts of a sentence, that match a template. */
function inParts(text: string, depth: number): string | undefined {
  for (const end of ENDS) {
    const parts = text.split(end);
    if (parts.length < 2) continue;
    const found = parts.map((part) => translated(part, depth + 1));
    if (found.some((part) => part !== undefined)) return found.map((part, index) => part ?? parts[index]).join('');
  }
  for (const list of LISTS) {
    const parts = text.split(list);
    const found = parts.map((part, index) => (index % 2 ? word(part) : translated(part, depth + 1)));
    if (parts.length > 1 && found.every((part) => part !== undefined)) return found.join('');
  }
  return undefined;
}

/** A conjunction with its spaces. */
function word(text: string): string {
  const id = current().exact.get(text.trim());
  return id === undefined ? text : ` ${i18n._(id)} `;
}

/** The fields of answers with sentences of the server. */
const FIELDS = new Set([
  ...[
    'reason',
    'ended_reason',
    'expires_reason',
    'set_aside_reason',
    'state_reason',
    'status_reason',
    'stopped_reason',
  ],
  ...['error', 'last_error', 'problem', 'sync_problem', 'warning', 'operational_message', 'detail', 'announcement'],
  ...['sentence', 'question', 'rule', 'before', 'after', 'trace', 'loss'],
]);
const LISTS_OF_SENTENCES = new Set(['warnings', 'notes', 'problems', 'reasons']);
type Row = Record<string, unknown>;

/** An answer of the api with translated sentences. The answer itself is changed. */
export function translateAnswer<T>(answer: T): T {
  if (hasServerTexts()) visit(answer);
  return answer;
}

function visit(value: unknown): void {
  if (Array.isArray(value)) value.forEach(visit);
  else if (typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype)
    visitRow(value as Row);
}

function visitRow(row: Row): void {
  const also = fieldsOf(row);
  for (const [name, value] of Object.entries(row)) {
    if (typeof value === 'string') {
      if (value && (FIELDS.has(name) || also.includes(name))) row[name] = serverText(value);
    } else if (Array.isArray(value) && LISTS_OF_SENTENCES.has(name)) {
      row[name] = value.map((each: unknown) => (typeof each === 'string' ? serverText(each) : each));
      visit(row[name]);
    } else if (name === 'refusals') {
      row[name] = Object.fromEntries(
        Object.entries(value as Record<string, string>).map(([code, text]) => [code, serverText(text)]),
      );
    } else visit(value);
  }
  const parts = row.parts ?? row.answer;
  if (Array.isArray(parts) && 'sentence' in row)
    row.sentence = parts.map(({ text }: { text: string }) => text).join('');
}

/** The further fields of an object with sentences, by its kind: a part of a sentence, a fact, a setting, a step. */
function fieldsOf(row: Row): string[] {
  if ('text' in row && 'object' in row) return row.object && !/^\d/.test(String(row.text)) ? [] : ['text'];
  if ('value' in row && 'object' in row && 'name' in row && !('owner' in row))
    return row.object ? ['value'] : ['name', 'value'];
  if ('suggested' in row && 'owner' in row) return ['owner', 'title'];
  if (('operation' in row && 'object' in row) || ('at' in row && 'title' in row)) return ['title'];
  return [];
}
