import { expect, test } from 'vitest';
import { qualityOf } from '../src/pages/session/quality';

test.each([
  ['connected', null, 'ready', 'Stream connected'],
  ['connected', 3, 'warning', 'No answer for 3 s'],
  ['reconnecting', null, 'warning', 'Stream reconnecting'],
] as const)('a stream that is %s, without an answer for %s s, is %s', (state, silentS, color, label) =>
  expect(qualityOf({ state, silentS })).toEqual({ color, label }),
);
