import { expect, test } from 'vitest';
import type { Session } from '../src/api/types';
import { lineOf, type Sample, withSample } from '../src/pages/admin/sessions/samples';

const session = { status: 'running', cpu_used: 0.5, memory_used: 100 } as Session;

test('the use of a session is kept for 30 minutes, at most every 5 seconds', () => {
  let samples: Sample[] = [];
  for (let second = 0; second <= 31 * 60; second += 1) samples = withSample(samples, session, second * 1000);
  expect(samples).toHaveLength(361);
  expect(samples[0]?.at).toBe(60_000);
});

test('a session that does not run or is not measured has no sample', () => {
  expect(withSample([], { ...session, status: 'stopped' }, 0)).toEqual([]);
  expect(withSample([], { ...session, cpu_used: null }, 0)).toEqual([]);
});

test('a line goes from the left to the right, with the highest value at the top', () => {
  expect(lineOf([0, 2, 1])).toBe('M0.0 23.0L50.0 1.0L100.0 12.0');
  expect(lineOf([0, 0])).toBe('M0.0 23.0L100.0 23.0');
});

test('a line has a gap where nothing was recorded', () => {
  expect(lineOf([null, 1, 1, null, 1])).toBe('M25.0 1.0L50.0 1.0M100.0 1.0');
});
