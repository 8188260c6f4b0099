import { describe, expect, test } from 'vitest';
import { regionOf } from '../src/api/region';
import type { LauncherImage } from '../src/api/types';
import { sectionsOf, toggled, waitOf, wideFirst } from '../src/pages/launcher/sections';

function image(name: string, last_launched: string | null = null): LauncherImage {
  return { image_id: name, friendly_name: name, last_launched } as LauncherImage;
}

function shown(...given: Parameters<typeof sectionsOf>) {
  return sectionsOf(...given).map(({ title, images }) => [title, images.map(({ image_id }) => image_id).join('')]);
}

describe('the sections of the launcher', () => {
  const few = ['a', 'b', 'c'].map((name) => image(name, '2026-11-01T10:00:00Z'));
  const many = Array.from('abcdefghi', (name, index) =>
    image(name, index < 6 ? `2026-11-0${index + 1}T10:00:00Z` : null),
  );

  test('few workspaces are one section', () => expect(shown(few, [], false)).toEqual([['All', 'abc']]));

  test('favorites come first, in their order, and only once', () =>
    expect(shown(few, ['c', 'gone', 'a'], false)).toEqual([
      ['Favorites', 'ca'],
      ['Others', 'b'],
    ]));

  test('of many workspaces, the latest four are recent', () =>
    expect(shown(many, ['f', 'i'], false)).toEqual([
      ['Favorites', 'fi'],
      ['Recent', 'edcb'],
      ['Others', 'agh'],
    ]));

  test('few favorites and recent ones are in one section', () =>
    expect(shown(many, ['f'], false)).toEqual([
      ['Favorites and recent', 'fedcb'],
      ['Others', 'aghi'],
    ]));

  test('a search keeps the order of its hits', () => expect(shown(few, ['c'], true)).toEqual([['Found', 'abc']]));

  test('no workspaces are no section', () => expect(shown([], [], false)).toEqual([]));
});

test.each([
  [true, 4, 'Now', 'ready'],
  [false, null, 'Not now', 'warning'],
  [false, 0.2, 'about 1 s', 'neutral'],
  [false, 6.4, 'about 6 s', 'neutral'],
  [false, 170, 'about 3 min', 'neutral'],
] as const)('ready %s with %s s is “%s”', (ready, expected_s, words, tone) =>
  expect(waitOf({ ready, expected_s })).toEqual({ words, tone }),
);

test.each([
  [
    ['stopped', 'running', 'paused', 'running'],
    [1, 0, 2, 3],
  ],
  [
    ['stopped', 'paused'],
    [0, 1],
  ],
  [[], []],
])('of sessions that are %j, the newest one that runs is wide', (statuses, order) =>
  expect(wideFirst(statuses.map((status, index) => ({ status, index }))).map(({ index }) => index)).toEqual(order),
);

test('a star adds a workspace at the end, and removes it', () => {
  expect(toggled(['a'], 'b')).toEqual(['a', 'b']);
  expect(toggled(['a', 'b'], 'a')).toEqual(['b']);
});

test.each([
  ['Europe/Berlin', 'de-DE', { browser_timezone: 'Europe/Berlin', browser_language: 'de-DE' }],
  ['Etc/GMT+1', 'de-DE-u-co-phonebk', { browser_timezone: 'Etc/GMT+1', browser_language: 'de-DE' }],
  [undefined, 'not a language', {}],
  ['a zone; with more', undefined, {}],
])('time zone %s and language %s are sent as %j', (timeZone, language, sent) =>
  expect(regionOf(timeZone, language)).toEqual(sent),
);
