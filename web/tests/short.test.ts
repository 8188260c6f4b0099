import { expect, test } from 'vitest';
import { isShort } from '../src/pages/admin/staging/short';

test.each([
  ['no-capacity', false, true],
  ['starting', false, false],
  ['image-pulling', false, false],
  ['paused', true, false],
  ['no-capacity', true, false],
  [null, false, false],
] as const)('a pool with the shortfall %s (paused: %s) is short: %s', (code, paused, short) =>
  expect(isShort({ paused, shortfall: code && { code, reason: '', since: '' } } as Parameters<typeof isShort>[0])).toBe(
    short,
  ),
);
