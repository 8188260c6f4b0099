import { expect, test } from 'vitest';
import { qualityOf } from '../src/pages/session/quality';

test.each([
  ['connected', null, 'teal', 'Stream connected'],
  ['connected', 3, 'yellow', 'No answer for 3 s'],
  ['reconnecting', null, 'yellow', 'Stream reconnecting'],
] as const)('a stream that is %s, without an answer for %s s, is %s', (state, silentS, color, label) =>
  expect(qualityOf({ state, silentS })).toEqual({ color, label }),
);
