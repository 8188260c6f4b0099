/** The entries that the user opened last. The browser keeps them until the user logs out. */

import { keepText, keptText } from '../../kept';
import type { Entry } from './entries';

const KEY = 'greenroom.recent';
const MAX = 6;

interface Stored {
  user: string;
  entries: Pick<Entry, 'to' | 'title' | 'note'>[];
}

function stored(): Stored | null {
  try {
    return JSON.parse(keptText(KEY) ?? 'null') as Stored | null;
  } catch {
    return null; // another program wrote it
  }
}

/** The recent entries of a user, the newest first. */
export function recentOf(user: string): Entry[] {
  const found = stored();
  if (found?.user !== user || !Array.isArray(found.entries)) return [];
  return found.entries.map((entry) => ({ ...entry, section: 'Recent' }));
}

/** Puts an entry in front. */
export function remember(user: string, { to, title, note }: Entry): void {
  const others = recentOf(user).filter((other) => other.to !== to);
  const entries = [{ to, title, note }, ...others].slice(0, MAX);
  keepText(KEY, JSON.stringify({ user, entries } satisfies Stored));
}

export function forgetRecent(): void {
  keepText(KEY, null);
}
