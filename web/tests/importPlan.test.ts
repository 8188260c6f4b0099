import { describe, expect, test } from 'vitest';
import type { Group, User } from '../src/api/types';
import { linesOf, planImport, refusedFile } from '../src/pages/admin/users/importPlan';

const GROUPS = [
  { name: 'All Users', group_id: 'g0' },
  { name: 'Students', group_id: 'g1' },
] as Group[];
const ADA = {
  user_id: 'u1',
  username: 'Ada',
  first_name: 'Ada',
  phone: '',
  disabled: false,
  groups: [{ name: 'All Users', group_id: 'g0' }],
} as unknown as User;
const plan = (text: string) => planImport(text, [ADA], GROUPS);
const errorsOf = (text: string) => plan(text).errors.map(({ line, message }) => `${line}: ${message}`);

test('quotes, line breaks in cells and a byte order mark are read', () => {
  expect(linesOf('\ufeffa,b\r\n"x, ""y""","1\n2"\n\nz,')).toEqual([
    { number: 1, cells: ['a', 'b'] },
    { number: 3, cells: ['x, "y"', '1\n2'] },
    { number: 5, cells: ['z', ''] },
  ]);
  expect(() => linesOf('a\n"b')).toThrow('Line 2 is not CSV');
  expect(() => linesOf('a\nb"c')).toThrow('Line 2 is not CSV');
});

test('a cell of any length is read, and its error is short', () => {
  const long = 'x'.repeat(16 * 1024 * 1024);
  expect(linesOf(`a\n"${long}"`)[1]?.cells[0]).toHaveLength(long.length);
  expect(() => linesOf(`a\n"${long}`)).toThrow('Line 2 is not CSV');
  expect(errorsOf(`username,groups,locked\nada,"${long}","${long}"`).map(({ length }) => length)).toEqual([1004, 1004]);
});

test('names that the database does not distinguish are those of one user', () => {
  const users = [{ ...ADA, username: 'Weiß' }];
  const { changes } = planImport('username,phone\nWEISS,5', users, GROUPS);
  expect(changes.map(({ userId }) => userId)).toEqual(['u1']);
  expect(errorsOf('username\nweiß\nweiss\nΝίκος\nΝΊΚΟΣ')).toEqual([
    '3: The user weiss is also in line 2.',
    '5: The user ΝΊΚΟΣ is also in line 4.',
  ]);
});

test('new users are created, and known ones get what differs', () => {
  const { changes, unchanged, errors } = plan(
    'username,first_name,phone,disabled,groups,password\n dora ,Dora,,yes,Students; Students,pass word \nADA,Ada,5,,,new\nada ,,,no,,',
  );
  expect(errors).toEqual([{ line: 4, message: 'The user ada is also in line 3.' }]);
  expect(changes.map(({ username, userId, values }) => [username, userId, values])).toEqual([
    [
      'dora',
      null,
      { username: 'dora', first_name: 'Dora', disabled: true, groups: ['g0', 'g1'], password: 'pass word ' },
    ],
    ['ADA', 'u1', { phone: '5' }],
  ]);
  expect(unchanged).toBe(0);
  expect(plan('username,first_name,groups\nada,Ada,All Users').unchanged).toBe(1);
});

describe('an invalid file', () => {
  test.each([
    ['', '1: The column username is missing.'],
    ['username,age\na,1', '1: There is no column age; the columns are username, '],
    ['username,username\na,b', '1: A column occurs twice.'],
    ['username\na,b', '2: The line has more cells than the header'],
    ['username,groups\na,Teachers', '2: There is no group Teachers'],
    ['username,locked\na,maybe', '2: locked must be true or false, not maybe.'],
    ['username,phone\n,5', '2: The username is missing.'],
    [`username,first_name\na,${'a'.repeat(5000)}`, '2: first_name: Enter at most '],
  ])('%#', (text, error) => {
    expect(errorsOf(text)).toEqual([expect.stringContaining(error)]);
  });
});

test('the refused lines can be corrected and imported again', () => {
  const { header, changes } = plan('username,phone,error\n"x,y",5,old\nben,,');
  const file = refusedFile(
    header,
    changes.slice(0, 1).map((change) => ({ change, reason: 'The name is taken, "x".' })),
  );
  expect(file).toBe('username,phone,error\r\n"x,y",5,"The name is taken, ""x""."\r\n');
  expect(plan(file).changes.map(({ username, values }) => [username, values])).toEqual([
    ['x,y', { username: 'x,y', phone: '5' }],
  ]);
});
