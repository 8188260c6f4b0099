import { afterEach, expect, test, vi } from 'vitest';
import { currentTime, subscribe } from '../src/components/clock';

afterEach(() => vi.useRealTimers());

test('after a page without relative times the clock shows the time of now', () => {
  vi.useFakeTimers();
  subscribe(() => undefined)();
  vi.advanceTimersByTime(14_000);
  expect(currentTime()).toBe(Date.now());
});
