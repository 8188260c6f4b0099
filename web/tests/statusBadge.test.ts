import { expect, test } from 'vitest';
import { GREEN } from '../src/components/StatusBadge';

test('only what is ready or live is green', () => {
  expect(GREEN).toEqual(['running', 'ready']);
});
