import { expect, test } from 'vitest';
import { estimateOf, moveTo, openingOf, rememberOpening } from '../src/pages/session/opening';
import { isSoon, timeLeft } from '../src/pages/session/quality';

test('a picture begins over the tile that was pressed', () => {
  const from = { left: 100, top: 50, width: 200, height: 100 };
  const to = { left: 0, top: 0, width: 800, height: 400 };
  expect(moveTo(from, to)).toBe('translate(100px, 50px) scale(0.25, 0.25)');
});

test('only the latest opening is kept', () => {
  const opening = {
    picture: null,
    isScreen: false,
    expectedS: null,
    from: { left: 0, top: 0, width: 1, height: 1 },
    at: 0,
  };
  rememberOpening('a', opening);
  rememberOpening('b', opening);
  expect([openingOf('a'), openingOf('b')]).toEqual([null, opening]);
  rememberOpening('c', null);
  expect(openingOf('b')).toBeNull();
});

test.each([
  [null, 3, null],
  [undefined, 3, null],
  [0.2, 0, 'It usually takes about 1 s'],
  [9.4, 14, 'It usually takes about 9 s'],
  [9.4, 15, 'This takes longer than usual'],
])('a start of usually %s s after %s s: %s', (expectedS, elapsedS, words) =>
  expect(estimateOf(expectedS, elapsedS)).toBe(words),
);

test('the time left is shown with a limit, and warns in the last quarter of an hour', () => {
  const now = Date.parse('2026-11-28T10:00:00Z');
  expect(timeLeft(null, now)).toBeUndefined();
  expect(timeLeft('2026-11-28T10:58:00Z', now)).toBe('58m');
  expect(isSoon('2026-11-28T10:58:00Z', now)).toBe(false);
  expect(isSoon('2026-11-28T10:15:00Z', now)).toBe(true);
  expect(isSoon(null, now)).toBe(false);
});
