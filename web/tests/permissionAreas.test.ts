import { expect, test } from 'vitest';
import { byArea, detailsOf, isPermissionFound, titlesText } from '../src/pages/admin/permissionAreas';

const SEE = { code: 'sessions_view', description: 'See the sessions of all users' };
const RECORD = { code: 'session_videos_view', description: 'See the videos of recorded sessions, and verify them' };
const USE = { code: 'user', description: 'Use the launcher: own sessions, own account' };

test('permissions are in the area of the longest start of their code', () => {
  expect(byArea([USE, SEE, RECORD, { code: 'users_view' }, { code: 'users_auth_session' }])).toEqual([
    ['General', [USE]],
    ['Sessions', [SEE, { code: 'users_auth_session' }]],
    ['Recordings', [RECORD]],
    ['People', [{ code: 'users_view' }]],
  ]);
});

test.each([
  ['', true],
  ['sessions see', true],
  ['sessions_view', true],
  ['videos', false],
])('a search for %o in the permissions', (search, isFound) => expect(isPermissionFound(SEE, search)).toBe(isFound));

test('a list of permissions has their titles, and the code of one of another version', () => {
  expect(titlesText(['user', 'later_view'], [USE, SEE])).toBe('Use the launcher, later_view');
  expect(titlesText([], [USE])).toBe('');
});

test.each([
  ['See users', ''],
  ['Everything; includes all other permissions', 'Includes all other permissions'],
  ['See the settings (System, Settings), sign-on providers', '(System, Settings), sign-on providers'],
])('the details of %o are %o', (description, details) => expect(detailsOf(description)).toBe(details));
