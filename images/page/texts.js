// The texts of the page, in the language that the console sends, otherwise in the language of the browser. The English text
// is the key of its translation.
import { GERMAN } from './german.js';
import { onMessage } from './parent.js';

const CATALOGS = { de: new Map(Object.entries(GERMAN)) };
const GIB = 2 ** 30;

let language = 'en';
/** The form of numbers and dates. */
export let locale = language;
/** Functions that show the texts of the page itself again, each with the English text. */
const places = [];

/** The text in the language of the page. `{name}` is replaced by `values.name`. */
export function t(english, values = {}) {
  const text = CATALOGS[language]?.get(english) ?? english;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}

/** A size in the units of the settings. A limit in whole GiB, such as that of all uploads, is shown in GiB. */
export function size(bytes) {
  if (bytes > 0 && bytes % GIB === 0) return `${bytes / GIB} GiB`;
  const units = ['kB', 'MB', 'GB'];
  const power = Math.min(units.length, Math.floor(Math.log10(Math.max(bytes, 1)) / 3));
  if (power === 0) return t('{size} bytes', { size: bytes });
  const number = (bytes / 1000 ** power).toLocaleString(locale, { maximumFractionDigits: 1, useGrouping: false });
  return `${number} ${units[power - 1]}`;
}

function use(tag) {
  const [wanted] = tag.split('-');
  language = wanted in CATALOGS ? wanted : 'en';
  locale = navigator.languages.find((spoken) => spoken.split('-')[0] === language) ?? language;
  document.documentElement.lang = language;
  for (const show of places) show();
}

function collect() {
  const isKnown = (text) => Object.values(CATALOGS).some((catalog) => catalog.has(text));
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const { currentNode: node } = walker;
    const [around, english] = [node.data, node.data.trim()];
    if (isKnown(english)) places.push(() => { node.data = around.replace(english, t(english)); });
  }
  for (const element of document.querySelectorAll('[aria-label]')) {
    const english = element.ariaLabel;
    if (isKnown(english)) places.push(() => { element.ariaLabel = t(english); });
  }
}

collect();
use(navigator.language);
onMessage('hello', ({ language: wanted }) => { if (typeof wanted === 'string') use(wanted); });
