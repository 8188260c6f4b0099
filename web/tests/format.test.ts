import { describe, expect, test } from 'vitest';
import { shortDuration } from '../src/components/clock';
import {
  bitRate,
  bytes,
  bytesShort,
  counted,
  hours,
  milliseconds,
  percent,
  shortId,
  unitOf,
} from '../src/components/format';

describe('sizes and times', () => {
  test.each([
    [0, '0 B'],
    [999, '999 B'],
    [1_000, '1 kB'],
    [1_240_000_000, '1.2 GB'],
    [5e15, '5,000 TB'],
  ])('%d bytes are %s', (size, text) => expect(bytes(size)).toBe(text));

  test.each([
    [0, '0 B'],
    [0.5, '0.5 B'],
    [99_500, '99.5 kB'],
    [650_100_000, '650 MB'],
    [1_240_000_000, '1.2 GB'],
  ])('%d bytes are %s in a column', (size, text) => expect(bytesShort(size)).toBe(text));

  test.each([
    [-3, '0s'],
    [59.4, '59s'],
    [59.6, '1m'],
    [3_599, '59m'],
    [3_600, '1h'],
    [7_199, '1h 59m'],
    [86_399, '23h 59m'],
    [187_200, '2d 4h'],
  ])('%d seconds are %s', (seconds, text) => expect(shortDuration(seconds)).toBe(text));

  test.each([
    [12.34, '12.3 ms'],
    [870, '870 ms'],
    [999.9, '1.0 s'],
    [1_000, '1.0 s'],
  ])('%d milliseconds are %s', (value, text) => expect(milliseconds(value)).toBe(text));

  test.each([
    [0, '0 kbit/s'],
    [899.6, '900 kbit/s'],
    [2_430, '2.4 Mbit/s'],
  ])('%d kbit/s are %s', (rate, text) => expect(bitRate(rate)).toBe(text));

  test('hours have at most three digits behind the point', () => {
    expect([1, 0.25, 1 / 3].map(hours)).toEqual(['1', '0.25', '0.333']);
  });
});

describe('shares', () => {
  test.each([
    [0, '0'],
    [0.00001, '0.1'],
    [2 / 3, '66.7'],
    [0.99999, '99.9'],
    [1, '100'],
  ])('%d is %s %%: 100 means all, and 0 none', (share, text) => expect(percent(share)).toBe(`${text}\u00a0%`));
});

describe('counts and units', () => {
  test('one is singular', () => {
    expect([counted(0, 'session'), counted(1, 'session'), counted(2, 'miss', 'misses')]).toEqual([
      '0 sessions',
      '1 session',
      '2 misses',
    ]);
  });

  test('a unit of one letter has no plural', () => {
    expect([unitOf(1, 'attempts'), unitOf(5, 'attempts'), unitOf(1, 's')]).toEqual(['attempt', 'attempts', 's']);
  });
});

test('ids are shortened only when they are UUIDs', () => {
  expect(shortId('123e4567-e89b-12d3-a456-426614174000')).toBe('123e4567');
  expect(shortId('manager-default-1')).toBe('manager-default-1');
});
