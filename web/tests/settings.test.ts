import { describe, expect, test } from 'vitest';
import type { Setting } from '../src/api/types';
import { changedSince, changesText, drafted, textOf } from '../src/components/changes';
import { checksOf, problemOf, settingProblem } from '../src/components/checks';
import {
  changesOf,
  fallbackText,
  isFound,
  ownAfter,
  ownOf,
  sectionsOf,
  type SettingItem,
  shownValue,
} from '../src/components/settings/items';

const setting = (fields: Partial<Setting>) =>
  ({ name: 'limit', title: 'Time limit', section: 'Limits', kind: 'int', unit: 's', ...fields }) as Setting;
const item = (own: unknown, inherited: unknown, fields: Partial<Setting> = {}): SettingItem => ({
  setting: setting({ description: 'How long it lasts', default: inherited, ...fields }),
  own,
  inherited,
});
const audio = { name: 'audio', title: 'Audio', section: 'Devices', kind: 'bool', unit: '' };

describe('the draft of changes', () => {
  test('has what differs from the saved values', () => {
    expect(drafted({}, 'limit', 60, 30)).toEqual({ limit: 60 });
    expect(drafted({ limit: 60, audio: true }, 'limit', 30, 30)).toEqual({ audio: true });
    expect(drafted({}, 'run', { a: 1 }, { a: 1 })).toEqual({});
  });

  test('is listed with the values before and after, in the order of the page', () => {
    const items = [item(3600, 0), item(null, true, audio)];
    expect(changesOf(items, { audio: false, limit: null }, 'Inherit')).toEqual([
      { name: 'limit', title: 'Time limit', before: '1 hour', after: 'Inherit (0 seconds)' },
      { name: 'audio', title: 'Audio', before: 'Inherit (yes)', after: 'Deny' },
    ]);
    expect(changesOf([item(null, 43_200)], { limit: 5_400 }, 'Default')).toEqual([
      { name: 'limit', title: 'Time limit', before: 'Default (12 hours)', after: '90 minutes' },
    ]);
  });

  test('is counted', () => expect([1, 3].map(changesText)).toEqual(['1 unsaved change', '3 unsaved changes']));

  test('applies before the saved value', () => {
    expect(ownAfter(item(3600, 0), {})).toBe(3600);
    expect(ownAfter(item(3600, 0), { limit: null })).toBeNull();
  });
});

describe('a switch with three positions', () => {
  test('names the inherited value', () => {
    expect(fallbackText(item(null, true, audio), 'Inherit')).toBe('Inherit (yes)');
    expect(fallbackText(item(null, 'delete', { kind: 'choice', unit: '' }), 'Inherit')).toBe('Inherit (delete)');
    expect(fallbackText(item(null, 3600), 'Default')).toBe('Default (1 hour)');
  });

  test('of the installation has no value if it is the default', () => {
    expect(ownOf(setting({ default: 5 }), 5)).toBeNull();
    expect(ownOf(setting({ default: [] }), ['a'])).toEqual(['a']);
  });
});

describe('undo', () => {
  test('restores only what nobody changed since', () => {
    const saved = { limit: 60, audio: null };
    expect(changedSince(saved, { limit: 60, audio: null, other: 1 })).toEqual([]);
    expect(changedSince(saved, { limit: 90, audio: null })).toEqual(['limit']);
    expect(changedSince({ run: { a: 1 } }, {})).toEqual(['run']);
    expect(changedSince({ run: { a: 1, b: [{ c: 1, d: 2 }] } }, { run: { b: [{ d: 2, c: 1 }], a: 1 } })).toEqual([]);
    expect(changedSince({ run: { b: [1, 2] } }, { run: { b: [2, 1] } })).toEqual(['run']);
  });
});

describe('the text of a value', () => {
  test('of a setting', () => {
    const shown = [shownValue(false, ''), shownValue({ a: 1 }, ''), shownValue(5, 's'), shownValue('', '')];
    expect(shown).toEqual(['no', '{"a":1}', '5 seconds', 'nothing']);
  });

  test('of a field is short, and on one line', () => {
    expect([textOf(true), textOf(''), textOf(null), textOf(['a', 'b']), textOf([])]).toEqual([
      'yes',
      'nothing',
      'nothing',
      'a, b',
      'nothing',
    ]);
    expect(textOf('a\n  b')).toBe('a b');
    expect(textOf('x'.repeat(100))).toHaveLength(80);
  });
});

test('settings are listed by section and found by title, name and description', () => {
  const items = [item(1, 0), item(true, false, audio)];
  expect(sectionsOf(items).map(([section, rows]) => [section, rows.length])).toEqual([
    ['Limits', 1],
    ['Devices', 1],
  ]);
  expect(items.filter((each) => isFound(each, 'TIME lasts'))).toEqual([items[0]]);
  expect(items.filter((each) => isFound(each, ''))).toHaveLength(2);
});

describe('errors while typing', () => {
  test.each([
    [{ type: 'integer', minimum: 1, maximum: 65_535 }, 0, '', 'Enter at least 1.'],
    [{ type: 'integer', minimum: 1, maximum: 65_535 }, 70_000, '', 'Enter at most 65,535.'],
    [{ type: 'integer' }, 1.5, '', 'Enter a whole number.'],
    [{ type: 'integer' }, 1.5, 's', 'Enter a whole number (s).'],
    [{ type: 'number', exclusiveMinimum: 0 }, 0, '', 'Enter more than 0.'],
    [{ type: 'integer', exclusiveMaximum: 1_000_000_000 }, 1_000_000_000, 'B', 'Enter less than 1 GB.'],
    [{ type: 'integer', minimum: 3600 }, 60, 's', 'Enter at least 1 hour.'],
    [{ type: 'number' }, '', '', 'Enter a number.'],
    [{ type: 'number' }, Infinity, '', 'Enter a number.'],
    [{ type: 'string', maxLength: 3 }, 'abcd', '', 'Enter at most 3 characters; there are 4.'],
    [{ type: 'string', maxLength: 3 }, 'a😀b', '', null],
    [{ type: 'number', minimum: 0 }, 0, '', null],
  ])('%j, %j: %s', (limits, value, unit, problem) => expect(problemOf(limits, value, unit)).toBe(problem));

  test('of a form have the limits of its request', () => {
    const checks = checksOf('StagingCreate');
    expect([checks.num_sessions?.(-1), checks.num_sessions?.(2), checks.expiration?.(0)]).toEqual([
      'Enter at least 0.',
      null,
      'Enter more than 0.',
    ]);
  });

  test('do not concern fields that may be empty, nor those of other requests', () => {
    const checks = checksOf('ImageCreate', { optional: ['memory_limit'], units: { memory: 'B' } });
    expect([checks.memory_limit?.(''), checks.memory?.(''), checks.memory?.(1)]).toEqual([
      null,
      'Enter a number.',
      'Enter at least 6.291 MB.',
    ]);
    expect(checks.unknown).toBeUndefined();
  });

  test('of a setting have its range; the server checks texts', () => {
    expect(settingProblem(setting({ minimum: 60, maximum: 1e9 }), 5)).toBe('Enter at least 1 minute.');
    expect(settingProblem(setting({ minimum: null, maximum: null, kind: 'float' }), 5.5)).toBeNull();
    expect(settingProblem(setting({ kind: 'string' }), 'anything')).toBeNull();
  });
});
