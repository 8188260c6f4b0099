/** The entries of the search palette: pages, actions, and the hits of the server. The order is decided here. */

import { t } from '@lingui/core/macro';
import { allows } from '../../api/auth';
import type { Hit, Me } from '../../api/types';
import { addressOf } from '../../components/objects';
import { serverText } from '../../language';
import { type Listed, mayOpen, SECTION_TITLES as PLACE_TITLES, sectionAt } from '../../places';

export const SECTIONS = ['Recent', 'Pages', 'Actions', 'Found'] as const;
export type Section = (typeof SECTIONS)[number];

export const SECTION_TITLES: Record<Section, string> = {
  Recent: t`Recent`,
  Pages: t`Pages`,
  Actions: t`Actions`,
  Found: t`Found`,
};

export interface Entry {
  /** The address, which distinguishes the entries. */
  to: string;
  title: string;
  note: string;
  section: Section;
}

/** The nouns of kinds of hits. */
const NOUNS: Record<Hit['kind'], string> = {
  agent: t`Agent`,
  group: t`Group`,
  group_setting: t`Group setting`,
  image: t`Workspace`,
  log_code: t`Log code`,
  manager: t`Manager`,
  service_account: t`Service account`,
  session: t`Session`,
  setting: t`Setting`,
  staging_config: t`Pool`,
  user: t`User`,
  webhook: t`Webhook`,
  zone: t`Zone`,
};

/** The pages that the user may open. `places` is the table of all pages. */
export function pagesFor(places: Listed[], me: Me | null | undefined): Entry[] {
  return places
    .filter((place) => mayOpen(me, place))
    .map(({ path, title, link = title }) => {
      const section = sectionAt(path);
      return { to: path, title: link, note: section ? PLACE_TITLES[section] : t`Page`, section: 'Pages' };
    });
}

/** The dialogs that create something. */
export function creationsFor(places: Listed[], me: Me | null | undefined): Entry[] {
  return places.flatMap((place) =>
    place.create && mayOpen(me, place) && allows(me, `${place.needs}_create`)
      ? [{ to: `${place.path}?create=1`, title: place.create, note: place.title, section: 'Actions' as const }]
      : [],
  );
}

/** The entries for a hit: its page, and for a Manager also the dialog that disables it or the page that enables it. */
export function entriesOfHit(hit: Hit, me: Me | null | undefined): Entry[] {
  const address = addressOf(hit, me);
  if (address === null) return [];
  // A kind without pages leads to its list, with the object as the filter.
  const to = hit.kind === 'service_account' ? `${address}?q=${quoted(hit.title)}` : address;
  const isSetting = hit.kind === 'setting' || hit.kind === 'group_setting';
  const note = [NOUNS[hit.kind], isSetting ? hit.id : hit.note].filter(Boolean).join(' · ');
  const page: Entry = { to, title: isSetting ? serverText(hit.title) : hit.title, note, section: 'Found' };
  if (hit.kind !== 'manager' || !allows(me, 'managers_modify')) return [page];
  const isEnabled = hit.note.startsWith('enabled');
  const name = hit.title;
  const title = isEnabled ? t`Disable Manager ${name}` : t`Enable Manager ${name}`;
  return [page, { to: `${to}?do=${isEnabled ? 'disable' : 'enable'}`, title, note: hit.note, section: 'Actions' }];
}

/** A text as one word of a filter in an address. */
function quoted(text: string): string {
  return encodeURIComponent(`"${text}"`);
}

/** The entries that have all words of a text, those whose title begins with it first; all of them without a text. */
export function matching(entries: Entry[], text: string): Entry[] {
  const wanted = text.trim().toLowerCase();
  const words = wanted.split(/\s+/);
  const rank = ({ title }: Entry) => (title.toLowerCase().startsWith(wanted) ? 0 : 1);
  return entries
    .filter(({ title, note }) => words.every((word) => `${title} ${note}`.toLowerCase().includes(word)))
    .sort((a, b) => rank(a) - rank(b));
}

/** The words that name an action and that no object has. */
const VERBS = [
  t({ message: 'enable', context: 'word in a search' }),
  t({ message: 'disable', context: 'word in a search' }),
];

function wordsOf(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** The text with which the server searches: without verbs. A verb alone is about Managers. */
export function askedFor(text: string): string {
  const words = wordsOf(text);
  const others = words.filter((word) => !VERBS.includes(word));
  return (words.length > 0 && others.length === 0 ? ['manager'] : others).join(' ');
}

/** With a verb in the text, only the actions that have all its words. */
function withVerbs(found: Entry[], text: string): Entry[] {
  if (!wordsOf(text).some((word) => VERBS.includes(word))) return found;
  return matching(
    found.filter(({ section }) => section === 'Actions'),
    text,
  );
}

const MAX_PAGES = 6;

/** What the palette shows for a text, in the order of the sections: with few pages, and each address once. */
export function shownFor(text: string, all: { recent: Entry[]; pages: Entry[]; creations: Entry[]; found: Entry[] }) {
  const pages = matching(all.pages, text);
  const entries = text.trim()
    ? [...pages.slice(0, MAX_PAGES), ...matching(all.creations, text), ...withVerbs(all.found, text)]
    : [...all.recent, ...pages];
  const order = (entry: Entry) => SECTIONS.indexOf(entry.section);
  const once = entries.filter(({ to }, index) => entries.findIndex((other) => other.to === to) === index);
  return once.sort((a, b) => order(a) - order(b));
}
