import { describe, expect, test } from 'vitest';
import { createCursor, indexAt } from '../src/charts/cursor';
import {
  LONGEST_S,
  limited,
  periodOf,
  dayOf,
  fixedPeriod,
  rangeIn,
  SHORTEST_S,
  withRange,
  zoomed,
} from '../src/charts/range';

const NOW = 1_800_000_000;
const params = (text: string) => new URLSearchParams(text);

describe('the range in the address', () => {
  test.each([
    ['', { preset: '24h' }],
    ['range=7d', { preset: '7d' }],
    ['range=constructor', { preset: '24h' }],
    ['since=2026-01-01T00:00:00Z&until=2026-01-01T01:00:00Z', { since: 1_767_225_600, until: 1_767_229_200 }],
    ['since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z', { preset: '24h' }],
    ['since=yesterday&until=now', { preset: '24h' }],
  ])('%s', (text, range) => expect(rangeIn(params(text))).toEqual(range));

  test('a changed range keeps the other parts of the address', () => {
    const fixed = withRange(params('tab=trends&range=7d'), { since: 1_767_225_600, until: 1_767_229_200 });
    expect(fixed.toString()).toBe('tab=trends&since=2026-01-01T00%3A00%3A00Z&until=2026-01-01T01%3A00%3A00Z');
    expect(withRange(fixed, { preset: '24h' }).toString()).toBe('tab=trends');
    expect(rangeIn(withRange(fixed, { preset: '90d' }))).toEqual({ preset: '90d' });
  });
});

test('a period that ends now moves with the time', () => {
  expect(periodOf({ preset: '1h' }, NOW)).toEqual({ since: NOW - 3600, until: NOW });
});

test.each([
  [{ since: NOW - 10, until: NOW }, SHORTEST_S, NOW],
  [{ since: NOW - 10, until: NOW + 500 }, 510, NOW],
  [{ since: NOW - 2 * LONGEST_S, until: NOW }, LONGEST_S, NOW],
])('a period stays within the stored time', (period, length, until) => {
  const found = limited(period, NOW);
  expect(found.until - found.since).toBeCloseTo(length);
  expect(found.until).toBeCloseTo(until);
});

test('zooming halves the period around a time, and doubles it again', () => {
  const period = { since: NOW - 7200, until: NOW - 3600 };
  const inside = zoomed(period, NOW - 5400, 0.5, NOW);
  expect(inside).toEqual({ since: NOW - 6300, until: NOW - 4500 });
  expect(zoomed(inside, NOW - 5400, 2, NOW)).toEqual(period);
});

test.each([
  [null, null],
  [NOW, 0],
  [NOW + 119, 1],
  [NOW + 179, 2],
  [NOW - 1, null],
  [NOW + 180, null],
])('the time %s is in the point number %s', (time, index) =>
  expect(indexAt([NOW, NOW + 60, NOW + 120], time)).toBe(index),
);

test('a marked time stays marked in another period', () => {
  const cursor = createCursor();
  cursor.set(NOW + 120);
  expect(indexAt([NOW, NOW + 60, NOW + 120], cursor.get())).toBe(2);
  expect(indexAt([NOW - 300, NOW, NOW + 300], cursor.get())).toBe(1);
});

test('a local day ends at midnight, and today ends now', () => {
  const now = new Date(2026, 2, 5, 10, 30);
  const at = (...parts: [number, number, number, number?, number?]) => new Date(...parts).getTime() / 1000;
  expect(dayOf(now, 1)).toEqual({ since: at(2026, 2, 4), until: at(2026, 2, 5) });
  expect(dayOf(now, 0)).toEqual({ since: at(2026, 2, 5), until: at(2026, 2, 5, 10, 30) });
});

test('a period needs two times that can be read, in their order', () => {
  const [begin, end] = ['2026-01-02T12:00:00Z', '2026-01-02T13:00:00Z'];
  expect(fixedPeriod(begin, end)).toEqual({ since: Date.parse(begin) / 1000, until: Date.parse(end) / 1000 });
  expect([fixedPeriod(end, begin), fixedPeriod(begin, ''), fixedPeriod('x', end)]).toEqual(Array(3).fill(undefined));
});
