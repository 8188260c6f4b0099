import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { loadAgain } from '../src/components/lazily';

describe('a part of the bundle', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test.each([
    'Failed to fetch dynamically imported module: https://greenroom.test/a.js',
    'error loading dynamically imported module: https://greenroom.test/a.js',
    'Importing a module script failed.',
  ])('is loaded once more after "%s"', async (message) => {
    const load = vi.fn(() => Promise.resolve('the part')).mockRejectedValueOnce(new TypeError(message));
    const loading = loadAgain(load);
    await vi.runAllTimersAsync();
    expect(await loading).toBe('the part');
    expect(load).toHaveBeenCalledTimes(2);
  });

  test('whose code fails is not loaded again, and its error is reported', async () => {
    const load = vi.fn(() => Promise.resolve('undefined exports'));
    load.mockRejectedValueOnce(new RangeError('invalid language tag: C'));
    await expect(loadAgain(load)).rejects.toThrow('invalid language tag: C');
    expect(load).toHaveBeenCalledTimes(1);
  });

  test('that never arrives reports the first error', async () => {
    const load = vi.fn(() => Promise.reject<string>(new TypeError('another error')));
    load.mockRejectedValueOnce(new TypeError('Importing a module script failed.'));
    const loading = expect(loadAgain(load)).rejects.toThrow('Importing a module script failed.');
    await vi.runAllTimersAsync();
    await loading;
  });
});
