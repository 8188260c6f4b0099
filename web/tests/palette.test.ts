import { beforeEach, expect, test } from 'vitest';
import type { Hit, Me } from '../src/api/types';
import {
  askedFor,
  creationsFor,
  entriesOfHit,
  type Entry,
  groupsOf,
  literallyAskedFor,
  matching,
  pagesFor,
  shownFor,
} from '../src/app/palette/entries';
import { forgetRecent, recentOf, remember } from '../src/app/palette/recent';
import type { Listed } from '../src/places';

const page = (path: string, needs: string, create?: string) =>
  ({
    path,
    title: path.slice(1),
    needs,
    icon: () => null,
    page: () => null,
    ...(create && { create }),
  }) as unknown as Listed;
const PLACES = [page('/users', 'users', 'Create User'), page('/zones', 'zones', 'Create Zone')];
const me = (...permissions: string[]) => ({ permissions, scoped_permissions: [] as string[] }) as unknown as Me;
const hit = (kind: Hit['kind'], title: string, note = ''): Hit => ({ kind, id: 'x1', title, note });
const entry = (title: string, section: Entry['section'] = 'Pages'): Entry => ({ to: title, title, note: '', section });

beforeEach(() => {
  const kept = new Map<string, string>();
  globalThis.localStorage = {
    getItem: (key: string) => kept.get(key) ?? null,
    setItem: (key: string, value: string) => void kept.set(key, value),
    removeItem: (key: string) => void kept.delete(key),
  } as unknown as Storage;
});

test('lists the pages and the actions of the permissions of the user', () => {
  expect(pagesFor(PLACES, me('users_view')).map(({ to }) => to)).toEqual(['/users']);
  expect(creationsFor(PLACES, me('users_view', 'zones_create'))).toEqual([]);
  const [create] = creationsFor(PLACES, me('users_view', 'users_create'));
  expect([create?.title, create?.to]).toEqual(['Create User', '/users?create=1']);
});

test('a hit leads to its page only if the user may open it', () => {
  expect(entriesOfHit(hit('user', 'ada'), me('zones_view'))).toEqual([]);
  expect(entriesOfHit(hit('user', 'ada', 'Ada L.'), me('users_view'))).toEqual([
    { to: '/admin/users/x1', title: 'ada', note: 'User · Ada L.', section: 'Found', kind: 'user' },
  ]);
});

test('hits without a page lead to their row in the panel beside their list', () => {
  const found = ['eu west', 'us'].flatMap((name) =>
    entriesOfHit({ ...hit('service_account', name), id: name.slice(0, 2) }, me('devapi_view')),
  );
  expect(found.map(({ to }) => to)).toEqual(['/admin/service-accounts?panel=eu', '/admin/service-accounts?panel=us']);
  const list = { ...entry('Service Accounts'), to: '/admin/service-accounts' };
  const shown = shownFor('service', { recent: [], pages: [list], creations: [], found });
  expect(shown.map(({ title }) => title)).toEqual(['Service Accounts', 'eu west', 'us']);
});

test('a Manager has an action that leads to the dialog', () => {
  const may = me('managers_view', 'managers_modify');
  const titles = (note: string) => entriesOfHit(hit('manager', 'm-2', note), may).map(({ title, to }) => [title, to]);
  expect(titles('enabled · eu')[1]).toEqual(['Disable Manager m-2', '/admin/infrastructure/managers/x1?do=disable']);
  expect(titles('disabled · eu')[1]?.[0]).toBe('Enable Manager m-2');
  expect(entriesOfHit(hit('manager', 'm-2'), me('managers_view'))).toHaveLength(1);
});

test('a setting has its title, and its name as the note', () => {
  const [setting] = entriesOfHit(
    { ...hit('setting', 'Minimum password length'), id: 'min_password_length' },
    me('settings_view'),
  );
  expect([setting?.title, setting?.note]).toEqual(['Minimum password length', 'Setting · min_password_length']);
});

test('titles that begin with the text come first', () => {
  const found = matching([entry('Machine Pools'), entry('Managers'), entry('Docker Agents')], 'man');
  expect(found.map(({ title }) => title)).toEqual(['Managers']);
  expect(matching([entry('Service Accounts'), entry('Account')], 'account').map(({ title }) => title)).toEqual([
    'Account',
    'Service Accounts',
  ]);
});

test('without a text, recent entries come before the pages, each once', () => {
  const all = { recent: [entry('Users', 'Recent')], pages: [entry('Users'), entry('Zones')], creations: [], found: [] };
  expect(shownFor('', all).map(({ section, title }) => [section, title])).toEqual([
    ['Recent', 'Users'],
    ['Pages', 'Zones'],
  ]);
});

test('with a text, actions come before what the server found', () => {
  const all = {
    recent: [entry('x', 'Recent')],
    pages: [],
    creations: [],
    found: [entry('f', 'Found')],
  };
  expect(shownFor('a', { ...all, creations: [entry('a', 'Actions')] }).map(({ title }) => title)).toEqual(['a', 'f']);
});

test('Enter after the exact name of an object opens it, and only a verb finds an action', () => {
  const pages = [entry('Hosts of mc-host-2'), entry('Zones')];
  const found = entriesOfHit(hit('agent', 'mc-host-2', 'running'), me('agents_view', 'agents_modify'));
  const titles = (text: string) =>
    shownFor(text, { recent: [], pages, creations: [], found }).map(({ title }) => title);
  expect(titles('MC-host-2 ')).toEqual(['mc-host-2', 'Hosts of mc-host-2']);
  expect(titles('mc-host')).toEqual(['Hosts of mc-host-2', 'mc-host-2']);
  expect(titles('disable mc-host-2')).toEqual(['Disable Agent mc-host-2', 'mc-host-2']);
  const zones = entriesOfHit(hit('group', 'Zones'), me('groups_view'));
  const all = { recent: [], pages, creations: [], found: zones };
  expect(shownFor('zones', all).map(({ section }) => section)).toEqual(['Pages', 'Found']);
});

test('actions need the permission, and fit the status', () => {
  const actions = (kind: Hit['kind'], note: string, ...permissions: string[]) =>
    entriesOfHit(hit(kind, 'x', note), me(...permissions))
      .slice(1)
      .map(({ title, to }) => [title, to.split('?')[1]]);
  const sessions = ['sessions_view', 'sessions_modify'];
  expect(actions('session', 'running · eu', ...sessions)).toEqual([['Stop session x', 'do=stop']]);
  expect(actions('session', 'stopped · eu', ...sessions)).toEqual([]);
  expect(actions('session', 'running · eu', 'sessions_view')).toEqual([]);
  const staging = ['staging_view', 'staging_modify'];
  expect(actions('staging_config', 'eu', ...staging)).toEqual([['Pause pool x', 'do=pause']]);
  expect(actions('staging_config', 'paused · eu', ...staging)).toEqual([['Resume pool x', 'do=resume']]);
  expect(actions('agent', 'disabled · eu', 'agents_view', 'agents_modify')).toEqual([['Enable Agent x', 'do=enable']]);
  expect(actions('user', 'X', 'users_view')).toEqual([]);
  expect(actions('user', 'X', 'users_view', 'sessions_view')).toEqual([
    ['Why was the last launch of x cold?', 'outcome=on_demand&q=user%3A%22x%22&of=x1&do=why'],
  ]);
});

test('a question is found by its verbs, without the words between them', () => {
  expect(askedFor('why was the last launch of Anna cold?')).toBe('anna');
  expect(askedFor('stop session of carla')).toBe('session carla');
  expect(askedFor('stop')).toBe('session');
  const found = entriesOfHit(hit('user', 'anna'), me('users_view', 'sessions_view'));
  const all = { recent: [], pages: [], creations: [], found };
  expect(shownFor('why was anna cold', all).map(({ section }) => section)).toEqual(['Actions', 'Found']);
  expect(shownFor('stop anna', all).map(({ section }) => section)).toEqual(['Found']);
});

test('a long group of results is cut until the user wants to see all', () => {
  const found = Array.from({ length: 7 }, (_, number) => hit('user', `u${number}`)).flatMap((each, number) =>
    entriesOfHit({ ...each, id: `id${number}` }, me('users_view')),
  );
  const entries = [entry('Users'), ...found];
  const shape = (whole: string[]) =>
    groupsOf(entries, new Set(whole)).map(({ title, entries: shown, more }) => [title, shown.length, more]);
  expect(shape([])).toEqual([
    ['Pages', 1, 0],
    ['Users', 5, 2],
  ]);
  expect(shape(['user'])[1]).toEqual(['Users', 7, 0]);
});

test('a verb in the text is not part of the search, and its actions come before the objects', () => {
  expect([askedFor(' Disable  Manager m-2'), askedFor('disable'), askedFor('')]).toEqual([
    'manager m-2',
    'manager',
    '',
  ]);
  const found = [
    entry('m-2', 'Found'),
    { ...entry('Disable Manager m-2', 'Actions'), verbs: ['disable' as const] },
    { ...entry('Enable Manager m-3', 'Actions'), verbs: ['enable' as const] },
  ];
  const all = { recent: [], pages: [], creations: [], found };
  expect(shownFor('disable m', all).map(({ title }) => title)).toEqual(['Disable Manager m-2', 'm-2']);
});

test('a verb alone finds objects with this word in their names', () => {
  expect([literallyAskedFor('Stop  team'), literallyAskedFor('team')]).toEqual(['stop team', '']);
  const found = [
    entry('Desktop – anna', 'Found'),
    { ...entry('Stop session Desktop', 'Actions'), verbs: ['stop' as const] },
    entry('Stop Team', 'Found'),
  ];
  const all = { recent: [], pages: [], creations: [], found };
  expect(shownFor('stop', all).map(({ title }) => title)).toEqual(['Stop session Desktop', 'Stop Team']);
});

test('the browser keeps the last entries of one user until the user logs out', () => {
  for (let number = 1; number <= 7; number++) remember('u1', entry(`e${number}`));
  remember('u1', entry('e5'));
  expect(recentOf('u1').map(({ title }) => title)).toEqual(['e5', 'e7', 'e6', 'e4', 'e3', 'e2']);
  expect(recentOf('u2')).toEqual([]);
  forgetRecent();
  expect(recentOf('u1')).toEqual([]);
});
