import { expect, test } from 'vitest';
import {
  axisTexts,
  type ChartSpec,
  hasValues,
  headline,
  isolated,
  type Line,
  linesOf,
  shown,
  spoken,
  stacked,
  tableOf,
  timesOf,
  visible,
} from '../src/charts/shaping';
import type { SeriesAnswer } from '../src/api/series';

const SPEC: ChartSpec = {
  title: 'Launches',
  note: '',
  kind: 'bars',
  unit: 'number',
  lines: [
    { name: 'launches_staged', label: 'Staged', color: 'staged' },
    { name: 'launches_failed', label: 'Failed', color: 'failure' },
    { name: 'failovers', label: 'Not in the answer', color: 'neutral' },
  ],
};
const ANSWER = {
  begin: '2026-01-01T12:00:00Z',
  step_s: 60,
  left_out: 0,
  series: [
    { name: 'launches_failed', values: [null, 1, 0] },
    { name: 'launches_staged', values: [null, 2, null] },
  ],
} as SeriesAnswer;

test('a chart has the lines of the answer in its own order, and their times', () => {
  expect(timesOf(ANSWER)).toEqual([1_767_268_800, 1_767_268_860, 1_767_268_920]);
  expect(timesOf({ ...ANSWER, series: [] })).toEqual([]);
  expect(linesOf(SPEC, ANSWER).map(({ label, values }) => [label, values])).toEqual([
    ['Staged', [null, 2, null]],
    ['Failed', [null, 1, 0]],
  ]);
});

test('stacked lines keep the times of which nothing is known', () => {
  expect(
    stacked([
      [null, 2, null],
      [null, 1, 0],
    ]),
  ).toEqual([
    [null, 2, null],
    [null, 3, 0],
  ]);
});

test('a small bar is drawn with a visible height beside a high one', () => {
  expect(
    visible([
      [1, 0, null, 50],
      [99, 7, null, 50],
    ]),
  ).toEqual([
    [4, 0, null, 50],
    [99, 7, null, 50],
  ]);
  expect(visible([[null], [0]])).toEqual([[null], [0]]);
  expect(visible([])).toEqual([]);
});

test('points without a neighbor are drawn on their own', () => {
  expect(isolated([1, null, 2, 3, null, 0, null, 4])).toEqual([0, 5, 7]);
  expect(isolated([1, 2])).toEqual([]);
});

test('nothing was recorded if all values are missing', () => {
  const line: Line = { name: 'failovers', label: '', color: 'neutral', values: [null, null] };
  expect(hasValues([line])).toBe(false);
  expect(hasValues([line, { ...line, values: [null, 0] }])).toBe(true);
});

test.each([
  [[null, 2, 3, null], true, 5],
  [[null, 2, 3, null], false, 3],
  [[null], true, null],
])('the number of a line', (values, isSum, expected) => expect(headline(values, isSum)).toBe(expected));

test.each([
  [null, 'number', 'en', '–'],
  [undefined, 's', 'en', '–'],
  [1234.56, 'number', 'en', '1,235'],
  [1234.56, 'number', 'de', '1.235'],
  [0.456, 's', 'en', '0.46 s'],
  [75.4, 's', 'en', '75 s'],
  [2.345, 'cores', 'de', '2,35'],
  [0, 'bytes', 'en', '0 B'],
  [64_000_000_000, 'bytes', 'en', '64 GB'],
  [-1500, 'bytes', 'de', '-1,5 kB'],
] as const)('%s %s in %s', (value, unit, locale, text) => expect(shown(value, unit, locale)).toBe(text));

test('the axis has times of the day, and a date where a day begins', () => {
  const midnight = Date.parse('2026-01-02T00:00:00Z') / 1000;
  const times = [midnight - 7200, midnight, midnight + 7200];
  expect(axisTexts(times, 7200, 'en-GB', 'UTC')).toEqual(['22:00', '2 Jan', '02:00']);
  expect(axisTexts(times, 86_400, 'de', 'UTC')).toEqual(['1. Jan.', '2. Jan.', '2. Jan.']);
});

test('the table has the known points, newest first', () => {
  const lines = linesOf(SPEC, ANSWER);
  expect(tableOf(timesOf(ANSWER), lines)).toEqual([
    { time: 1_767_268_920, values: [null, 0] },
    { time: 1_767_268_860, values: [2, 1] },
  ]);
  expect(spoken(lines, 1, 'number')).toBe('Staged 2, Failed 1');
});
