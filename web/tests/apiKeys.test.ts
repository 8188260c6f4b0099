import { expect, test } from 'vitest';
import { bodyOf, NEW, ownersOf } from '../src/pages/admin/system/apiKeys';

test('a new API key belongs to the chosen user', () => {
  expect(bodyOf({ ...NEW, name: 'backup', user_id: 'u1' })).toMatchObject({ name: 'backup', user_id: 'u1' });
});

test('without a user and an end, a new API key is for the person who creates it, and does not end', () => {
  expect(bodyOf({ ...NEW, name: 'backup' })).toEqual({ name: 'backup', permissions: [], read_only: false });
});

test('the end of a new API key is sent with its time zone', () => {
  expect(bodyOf({ ...NEW, expires: '2026-11-25T12:00' }).expires).toBe(new Date('2026-11-25T12:00').toISOString());
});

test('an API key can belong to each user who is not anonymous, by name', () => {
  const users = [
    { user_id: '2', username: 'zoe', anonymous: false },
    { user_id: '1', username: 'ada', anonymous: false },
    { user_id: '3', username: 'guest', anonymous: true },
  ];
  expect(ownersOf(users)).toEqual([
    { value: '1', label: 'ada' },
    { value: '2', label: 'zoe' },
  ]);
});
