import { afterEach, describe, expect, test } from 'vitest';
import { arranged, compare, passes, selectedText, withParam } from '../src/components/tableState';

describe('the filter of a table', () => {
  const cells = { zone_name: 'eu-west', user: 'Ann', sessions: 12, agent: null };
  test.each([
    ['', true],
    ['ANN', true],
    ['ann 12', true],
    ['ann bob', false],
    ['zone:eu', true],
    ['zone:ann', false],
    ['agent:null', false],
    ['no_such_column:ann', false],
  ])('%j on a row: %s', (filter, expected) => expect(passes(filter, cells)).toBe(expected));
});

describe('the order of a table', () => {
  test('numbers go by size, texts with numbers in them too, and nothing comes last', () => {
    expect([10, null, 9, undefined].sort(compare)).toEqual([9, 10, null, undefined]);
    expect(['agent-10', 'agent-9', 'Agent-1'].sort(compare)).toEqual(['Agent-1', 'agent-9', 'agent-10']);
  });

  interface Row {
    name: string;
    age: number;
  }
  const rows: Row[] = [
    { name: 'b', age: 1 },
    { name: 'a', age: 3 },
    { name: 'c', age: 2 },
  ];
  const columns = [
    { key: 'name', value: (row: Row) => row.name },
    { key: 'age', value: (row: Row) => row.age },
    { key: 'buttons' },
  ];
  const names = (filter: string, sort: string | null, descending = false) =>
    arranged(rows, columns, { filter, sort, descending }).map(({ name }) => name);

  test('rows are sorted by the column, in either direction', () => {
    expect(names('', 'age')).toEqual(['b', 'c', 'a']);
    expect(names('', 'age', true)).toEqual(['a', 'c', 'b']);
    expect(names('age:3', 'age')).toEqual(['a']);
  });

  test('without a column that has values they stay as they came, and the list given is not changed', () => {
    expect(names('', null)).toEqual(['b', 'a', 'c']);
    expect(names('', 'buttons')).toEqual(['b', 'a', 'c']);
    expect(rows.map(({ name }) => name)).toEqual(['b', 'a', 'c']);
  });
});

describe('the address of a page', () => {
  afterEach(() => {
    location.search = '';
  });

  test('one parameter is changed and the others stay; an empty one is left out', () => {
    location.search = '?q=ann&sort=-created';
    expect(withParam('q', 'bob').toString()).toBe('q=bob&sort=-created');
    expect(withParam('q', '').toString()).toBe('sort=-created');
  });
});

test.each([
  [3, '3', true, '3 selected'],
  [100, '540', false, '100 of 540 selected'],
  [100, undefined, false, '100 selected; more rows match'],
])('of %s rows of %s the table says what is selected', (selected, total, isWhole, text) =>
  expect(selectedText(selected, total, isWhole)).toBe(text),
);
