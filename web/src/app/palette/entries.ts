/** The entries of the search palette: pages, actions, and the hits of the server. The order is decided here. */

import { t } from '@lingui/core/macro';
import { allows } from '../../api/auth';
import type { Hit, Me } from '../../api/types';
import { addressOf } from '../../components/objects';
import { statusWord } from '../../components/StatusBadge';
import { serverText } from '../../serverTexts';
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
  /** The kind of an object that was found. */
  kind?: Hit['kind'];
  /** The verbs of an action, by which it is found. */
  verbs?: Verb[];
}

/** The nouns of kinds of hits. */
const NOUNS: Record<Hit['kind'], string> = {
  agent: t`Agent`,
  api_key: t`API key`,
  directory: t`Directory`,
  filter_policy: t`Web filter policy`,
  group: t`Group`,
  group_setting: t`Group setting`,
  image: t`Workspace`,
  log_code: t`Log code`,
  machine_pool: t`Machine pool`,
  manager: t`Manager`,
  secret: t`Secret`,
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

/** The headings of the objects that were found. */
const HEADINGS: Record<Hit['kind'], string> = {
  agent: t`Agents`,
  api_key: t`API keys`,
  directory: t`Directories`,
  filter_policy: t`Web filter policies`,
  group: t`Groups`,
  group_setting: t`Group settings`,
  image: t`Workspaces`,
  log_code: t`Log codes`,
  machine_pool: t`Machine pools`,
  manager: t`Managers`,
  secret: t`Secrets`,
  service_account: t`Service accounts`,
  session: t`Sessions`,
  setting: t`Settings`,
  staging_config: t`Staging`,
  user: t`Users`,
  webhook: t`Webhooks`,
  zone: t`Zones`,
};

/** The entries for a hit: its page, and the actions on it that the user may do. */
export function entriesOfHit(hit: Hit, me: Me | null | undefined): Entry[] {
  const to = addressOf(hit, me);
  if (to === null) return [];
  const isSetting = hit.kind === 'setting' || hit.kind === 'group_setting';
  const note = [NOUNS[hit.kind], isSetting ? hit.id : noteOf(hit)].filter(Boolean).join(' · ');
  const title = isSetting ? serverText(hit.title) : hit.title;
  return [{ to, title, note, section: 'Found', kind: hit.kind }, ...actionsOf(hit, to, me)];
}

const WITH_STATUS: Hit['kind'][] = ['agent', 'manager', 'session', 'staging_config'];

/** "running · eu" in the language of the console. */
function noteOf({ kind, note }: Hit): string {
  if (!WITH_STATUS.includes(kind)) return note;
  const [status = '', ...others] = note.split(' · ');
  return [statusWord(status), ...others].join(' · ');
}

/** The actions on an object, each on its page with a question first. */
function actionsOf(hit: Hit, to: string, me: Me | null | undefined): Entry[] {
  const { kind, title: name, note } = hit;
  const action = (title: string, verb: Verb, address = `${to}?do=${verb}`): Entry => ({
    to: address,
    title,
    note: noteOf(hit),
    section: 'Actions',
    verbs: verb === 'why' ? ['why', 'cold'] : [verb],
  });
  const status = note.split(' · ')[0] ?? '';
  switch (kind) {
    case 'manager':
      if (!allows(me, 'managers_modify')) return [];
      return status === 'enabled'
        ? [action(t`Disable Manager ${name}`, 'disable')]
        : [action(t`Enable Manager ${name}`, 'enable')];
    case 'agent':
      if (!allows(me, 'agents_modify')) return [];
      return status === 'disabled' || status === 'pending'
        ? [action(t`Enable Agent ${name}`, 'enable')]
        : [action(t`Disable Agent ${name}`, 'disable')];
    case 'session':
      return status === 'running' && allows(me, 'sessions_modify') ? [action(t`Stop session ${name}`, 'stop')] : [];
    case 'staging_config':
      if (!allows(me, 'staging_modify')) return [];
      return status === 'paused'
        ? [action(t`Resume pool ${name}`, 'resume')]
        : [action(t`Pause pool ${name}`, 'pause')];
    case 'user': {
      if (!allows(me, 'sessions_view')) return [];
      const launches = `/admin/diagnostics/launches?outcome=on_demand&q=${encodeURIComponent('user:')}${quoted(name)}`;
      return [action(t`Why was the last launch of ${name} cold?`, 'why', `${launches}&of=${hit.id}&do=why`)];
    }
    default:
      return [];
  }
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

type Verb = 'enable' | 'disable' | 'stop' | 'pause' | 'resume' | 'why' | 'cold';

/** The words that name an action and that no object has, and the kind that a verb alone is about. */
const VERBS: Record<Verb, { word: string; noun: string }> = {
  enable: { word: t({ message: 'enable', context: 'word in a search' }), noun: 'manager' },
  disable: { word: t({ message: 'disable', context: 'word in a search' }), noun: 'manager' },
  stop: { word: t({ message: 'stop', context: 'word in a search' }), noun: 'session' },
  pause: { word: t({ message: 'pause', context: 'word in a search' }), noun: 'pool' },
  resume: { word: t({ message: 'resume', context: 'word in a search' }), noun: 'pool' },
  why: { word: t({ message: 'why', context: 'word in a search' }), noun: 'user' },
  cold: { word: t({ message: 'cold', context: 'word in a search' }), noun: 'user' },
};
const ALL_VERBS = Object.keys(VERBS) as Verb[];

/** The words beside a verb that no object has. */
const FILLERS = new Set(
  t({
    message: 'of the was is did for a last launch',
    context: 'words in a search that are ignored beside a verb',
  }).split(' '),
);

function wordsOf(text: string): string[] {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

/** The verbs of a text, in the language of the console or in English. */
function verbsOf(text: string): Verb[] {
  const words = wordsOf(text.replaceAll('?', ' '));
  return ALL_VERBS.filter((verb) => words.includes(verb) || words.includes(VERBS[verb].word));
}

/** The words beside the verbs of a text. */
function wordsBeside(verbs: Verb[], text: string): string[] {
  const dropped = new Set<string>([...verbs, ...verbs.map((verb) => VERBS[verb].word), ...FILLERS]);
  return wordsOf(text.replaceAll('?', ' ')).filter((word) => !dropped.has(word));
}

/** The text with which the server searches: without verbs. A verb alone is about a kind of objects. */
export function askedFor(text: string): string {
  const verbs = verbsOf(text);
  if (verbs.length === 0) return wordsOf(text).join(' ');
  const others = wordsBeside(verbs, text);
  if (others.length > 0) return others.join(' ');
  const [verb] = verbs;
  return verb ? VERBS[verb].noun : '';
}

/** A text with a verb, with which the server also searches, because names can contain the verb; empty = it has no verb. */
export function literallyAskedFor(text: string): string {
  return verbsOf(text).length > 0 ? wordsOf(text).join(' ') : '';
}

/**
 * With verbs in the text, the actions that have them, and the objects; a verb alone only shows objects with this word.
 * Without verbs, the objects only, so that Enter after a name never changes anything.
 */
function withVerbs(found: Entry[], text: string): Entry[] {
  const verbs = verbsOf(text);
  const actions = found.filter(({ section }) => section === 'Actions');
  const objects = found.filter(({ section }) => section !== 'Actions');
  if (verbs.length === 0) return objects;
  const wanted = actions.filter((entry) => verbs.every((verb) => entry.verbs?.includes(verb)));
  return [...wanted, ...(wordsBeside(verbs, text).length > 0 ? objects : matching(objects, text))];
}

const MAX_PAGES = 6;

/** What the palette shows for a text, in the order of the sections: with few pages, and each address once. */
export function shownFor(text: string, all: { recent: Entry[]; pages: Entry[]; creations: Entry[]; found: Entry[] }) {
  const pages = matching(all.pages, text);
  const entries = text.trim()
    ? [...pages.slice(0, MAX_PAGES), ...matching(all.creations, text), ...withVerbs(all.found, text)]
    : [...all.recent, ...pages];
  const isNamed = ({ title }: Entry) => title.toLowerCase() === text.trim().toLowerCase();
  const isPage = pages.some(isNamed);
  // The object with exactly this name comes before pages and actions that only contain the name.
  const order = (entry: Entry) => (entry.kind && !isPage && isNamed(entry) ? -1 : SECTIONS.indexOf(entry.section));
  const once = entries.filter(({ to }, index) => entries.findIndex((other) => other.to === to) === index);
  return once.sort((a, b) => order(a) - order(b));
}

/** The number of entries of a group, until the user wants to see all of them. */
const MAX_OF_GROUP = 5;

export interface EntryGroup {
  key: string;
  title: string;
  entries: Entry[];
  /** The number of further entries. */
  more: number;
}

/** The entries below their headings, in their order. A long group is cut, unless its key is in `whole`. */
export function groupsOf(entries: Entry[], whole: ReadonlySet<string>): EntryGroup[] {
  const groups = new Map<string, EntryGroup>();
  for (const entry of entries) {
    const key = entry.kind ?? entry.section;
    const title = entry.kind ? HEADINGS[entry.kind] : SECTION_TITLES[entry.section];
    const group = groups.get(key) ?? { key, title, entries: [], more: 0 };
    groups.set(key, group);
    const isCut = entry.section === 'Found' && group.entries.length >= MAX_OF_GROUP && !whole.has(key);
    if (isCut) group.more++;
    else group.entries.push(entry);
  }
  return [...groups.values()];
}
