/** What the search of the log offers while the user types: conditions on the code, the component and the objects of rows. */

import { t } from '@lingui/core/macro';
import type { Hit } from '../../../api/types';

/** The conditions that the search can set, by the word before the colon. */
const KEYS = ['code', 'component', 'user', 'session', 'pool', 'zone'] as const;
type Key = (typeof KEYS)[number];

export const KEY_TITLES: Record<Key, string> = {
  code: t`Code`,
  component: t`Component`,
  user: t`User`,
  session: t`Session`,
  pool: t`Pool`,
  zone: t`Zone`,
};

const KINDS: Partial<Record<Hit['kind'], Key>> = {
  log_code: 'code',
  user: 'user',
  session: 'session',
  staging_config: 'pool',
  zone: 'zone',
};

/** The programs that write the log. */
const COMPONENTS: Record<string, string> = {
  api: t`the API`,
  manager: t`a Manager`,
  agent: t`an Agent`,
  up: t`greenroom up (start of processes)`,
};

const MOST = 10;

export interface Offer {
  /** Distinguishes the offers. */
  id: string;
  key: Key;
  title: string;
  note: string;
  /** The changes of the address; without them, the choice completes the text. */
  changes?: Record<string, string>;
}

/** The word before the colon, if it names a condition, and the text to search. */
export function partsOf(text: string): { key: Key | null; word: string } {
  const [, before, after] = /^\s*(\w+):(.*)$/.exec(text) ?? [];
  const key = KEYS.find((each) => each === before?.toLowerCase()) ?? null;
  return { key, word: (key ? (after ?? '') : text).trim() };
}

/** The text with which the server searches objects and codes; empty = it does not search. */
export function askedFor(text: string): string {
  const { key, word } = partsOf(text);
  if (key === 'component') return '';
  const noun = key === 'pool' || key === 'zone' || key === 'session' || key === 'user' ? key : '';
  return [word === '' ? noun : '', word].filter(Boolean).join(' ');
}

/** The conditions to choose from for a text. `hits` are the answer of the server. */
export function offersFor(text: string, hits: Hit[]): Offer[] {
  const { key, word } = partsOf(text);
  const lower = word.toLowerCase();
  if (key === null && lower === '')
    return KEYS.map((each) => ({ id: each, key: each, title: `${each}:`, note: KEY_TITLES[each] }));
  const components = Object.entries(COMPONENTS)
    .filter(([name]) => name.startsWith(lower))
    .map(([name, note]) => offer('component', name, name, note, { component: name }));
  const found = hits.flatMap((hit) => {
    const of = KINDS[hit.kind];
    return of ? [offer(of, hit.id, hit.title, hit.note, changesOf(of, hit))] : [];
  });
  return [...(key === null || key === 'component' ? components : []), ...found]
    .filter((each) => key === null || each.key === key)
    .sort((a, b) => KEYS.indexOf(a.key) - KEYS.indexOf(b.key))
    .slice(0, MOST);
}

function offer(key: Key, id: string, title: string, note: string, changes: Record<string, string>): Offer {
  return { id: `${key}:${id}`, key, title, note, changes };
}

function changesOf(key: Key, { id, title, note }: Hit): Record<string, string> {
  switch (key) {
    case 'code':
      // The list has rows from INFO on, which would hide all rows of this code.
      return { code: id, ...(note === 'DEBUG' ? { level: note } : {}) };
    case 'user':
      return { user_id: id };
    case 'session':
      return { session_id: id };
    case 'pool':
      return { staging_config_id: id };
    default:
      return { zone_name: title };
  }
}
