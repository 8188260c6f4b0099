import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { expect, test, vi } from 'vitest';
import { logHistogramQuery } from '../src/api/queries';
import type { Hit } from '../src/api/types';
import { actionTitle, actorOf, categoryTitle, sentenceOf } from '../src/pages/admin/diagnostics/auditTitles';
import { enabledWhile } from '../src/pages/admin/diagnostics/logFilter';
import { partsWithIds, withShortIds } from '../src/pages/admin/diagnostics/logIds';
import { askedFor, offersFor, partsOf } from '../src/pages/admin/diagnostics/logSearch';

const hit = (kind: Hit['kind'], id: string, title: string, note = ''): Hit => ({ kind, id, title, note });

test('a message has short ids, and its parts have the whole ids', () => {
  const id = '12345678-1234-4234-8234-123456789abc';
  expect(withShortIds(`Session ${id} of ann@uni.example ended.`)).toBe('Session 12345678 of ann@uni.example ended.');
  expect(partsWithIds(`Session ${id} ended.`)).toEqual(['Session ', id, ' ended.']);
  expect(partsWithIds('No id.')).toEqual(['No id.']);
});

test('a word before a colon names a condition only if it is known', () => {
  expect(partsOf('code: launch')).toEqual({ key: 'code', word: 'launch' });
  expect(partsOf('registry.example:5000')).toEqual({ key: null, word: 'registry.example:5000' });
  expect(partsOf('error: no space')).toEqual({ key: null, word: 'error: no space' });
});

test('the server searches the word of a condition', () => {
  expect([
    askedFor('launch'),
    askedFor('user:ann'),
    askedFor('zone:'),
    askedFor('component:api'),
    askedFor(''),
  ]).toEqual(['launch', 'ann', 'zone', '', '']);
});

test('an empty search offers the conditions', () => {
  expect(offersFor('', []).map(({ title }) => title)).toEqual([
    'code:',
    'component:',
    'user:',
    'session:',
    'pool:',
    'zone:',
  ]);
});

test('each hit becomes a condition of the list, and kinds without rows are not offered', () => {
  const hits = [
    hit('zone', 'z1', 'eu'),
    hit('user', 'u1', 'ann'),
    hit('webhook', 'w1', 'ops'),
    hit('log_code', 'login', 'login', 'INFO'),
    hit('log_code', 'beat', 'beat', 'DEBUG'),
    hit('session', 's1', 'Desktop – ann'),
    hit('staging_config', 'p1', 'Desktop'),
  ];
  expect(offersFor('a', hits).map(({ changes }) => changes)).toEqual([
    { code: 'login' },
    { code: 'beat', level: 'DEBUG' },
    { component: 'api' },
    { component: 'agent' },
    { user_id: 'u1' },
    { session_id: 's1' },
    { staging_config_id: 'p1' },
    { zone_name: 'eu' },
  ]);
  expect(offersFor('user:a', hits).map(({ changes }) => changes)).toEqual([{ user_id: 'u1' }]);
});

test('an action of the audit has a title and a category', () => {
  expect([actionTitle('group-changed'), categoryTitle('group-changed')]).toEqual(['Group changed', 'People']);
  expect([actionTitle('login-failed'), categoryTitle('login-failed')]).toEqual(['Log-in failed', 'Log-ins']);
  expect([actionTitle('test-webhook'), categoryTitle('test-webhook')]).toEqual(['Test webhook', null]);
});

test('an API key has its name and that of its owner as actor', () => {
  const event = {
    actor_kind: 'key',
    actor_name: 'API key abc',
    key_name: null,
    on_behalf_of_name: null,
  };
  expect(actorOf(event)).toEqual({ name: 'API key abc', note: 'API key' });
  expect(actorOf({ ...event, key_name: 'nightly', on_behalf_of_name: 'ci' })).toEqual({
    name: 'nightly',
    note: 'API key of ci',
  });
  expect(actorOf({ ...event, actor_kind: 'user', actor_name: 'ann' })).toEqual({ name: 'ann', note: '' });
  expect(actorOf({ ...event, actor_kind: 'manager', actor_name: null }).name).toBe('Manager');
});

test('the sentence of an event has the name of the API key and the title of an operation', () => {
  const event = { actor_kind: 'key', actor_name: 'API key abc', key_name: 'nightly', on_behalf_of_name: null };
  const created = { ...event, code: 'webhook-created', message: 'API key abc created webhook Chat' };
  expect(sentenceOf(created)).toBe('API key nightly created webhook Chat');
  expect(sentenceOf({ ...created, key_name: null })).toBe('API key abc created webhook Chat');
  const operation = { ...event, code: 'create-lease', message: 'API key abc: create lease' };
  expect(sentenceOf(operation)).toBe('API key nightly: Lease of a session');
});

test.each([
  [true, 3],
  [false, 1],
])('with live updates (%s), the numbers of rows are requested %i times in a minute', async (live, times) => {
  vi.useFakeTimers();
  const queryFn = vi.fn(() => Promise.resolve({} as never));
  const queries = new QueryClient();
  const query = { ...logHistogramQuery({ level: 'INFO' }), queryFn, enabled: enabledWhile(live) };
  const stop = new QueryObserver(queries, query).subscribe(() => undefined);
  await vi.advanceTimersByTimeAsync(61_000);
  expect(queryFn).toHaveBeenCalledTimes(times);
  stop();
  vi.useRealTimers();
});
