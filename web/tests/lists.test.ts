import { describe, expect, test, vi } from 'vitest';
import { changed, withoutPanel } from '../src/components/address';
import { PARALLEL, runAll } from '../src/components/bulk';
import { switches } from '../src/components/bulkSwitch';
import { completionsOf } from '../src/components/completion';
import { csvOf, jsonOf } from '../src/components/exportRows';
import { queryOf, showView } from '../src/components/listChoices';
import { type Column, passes, rankOf, shownColumns, withoutLast, wordsOf } from '../src/components/tableState';

interface Row {
  name: string;
  state: string;
  since: string;
}
const COLUMNS: Column<Row>[] = [
  { key: 'name', title: 'Name', value: (row) => row.name },
  { key: 'state', title: 'State', value: (row) => row.state },
  { key: 'since', title: 'Since', value: (row) => row.since, optional: true },
  { key: 'actions', title: 'Actions', hideTitle: true },
];
const ROWS: Row[] = [
  { name: 'Ada', state: 'in use', since: '2026-11-28T10:00:00Z' },
  { name: 'Bob', state: 'staged', since: '2026-11-28T11:00:00Z' },
];
const keys = (columns: Column<Row>[]) => columns.map(({ key }) => key);

describe('the columns of a list', () => {
  test('without a choice, all columns but the optional ones are shown', () => {
    expect(keys(shownColumns(COLUMNS, null, false))).toEqual(['name', 'state', 'actions']);
  });

  test('the chosen columns are shown, with the title and the actions', () => {
    expect(keys(shownColumns(COLUMNS, ['since'], false))).toEqual(['name', 'since', 'actions']);
  });

  test('a narrow list shows the important columns', () => {
    const columns = [...COLUMNS, { key: 'zone', title: 'Zone' }];
    expect(keys(shownColumns(columns, null, true))).toEqual(['name', 'state', 'actions']);
    expect(rankOf({ key: 'zone', rank: 'main' }, 3)).toBe('main');
  });

  test('a list without enough space loses its last columns, but not the important ones', () => {
    const [name, state, since, actions] = COLUMNS as [Column<Row>, Column<Row>, Column<Row>, Column<Row>];
    const columns = [name, { key: 'zone', title: 'Zone' }, state, since, actions];
    expect(keys(withoutLast(columns, 0))).toEqual(keys(columns));
    expect(keys(withoutLast(columns, 1))).toEqual(['name', 'zone', 'state', 'actions']);
    expect(keys(withoutLast(columns, 9))).toEqual(['name', 'state', 'actions']);
  });
});

describe('the words of a filter', () => {
  test('quotation marks keep spaces in a word', () => {
    expect(wordsOf(' ann zone:"eu west" "a b')).toEqual(['ann', 'zone:eu west', 'a b']);
    expect(passes('state:"in use"', { state: 'In use' })).toBe(true);
    expect(passes('state:"use in"', { state: 'In use' })).toBe(false);
  });

  test('only the first colon separates a column, as in the filter of the server', () => {
    expect(passes('image:maps:2', { image: 'example.org/maps:1' })).toBe(false);
    expect(passes('image:maps:1', { image: 'example.org/maps:1' })).toBe(true);
    expect(passes(':ada', { name: 'Ada' })).toBe(false);
  });
});

describe('the completion of a filter', () => {
  const filters = (filter: string) => completionsOf(filter, COLUMNS, ROWS).map((each) => each.filter);

  test('the begin of a word offers columns with values', () => {
    expect(filters('ada s')).toEqual(['ada state:', 'ada since:']);
    expect(filters('')).toEqual([]);
    expect(filters('act')).toEqual([]);
  });

  test('without a word, all columns are offered on request, except those that are not completed', () => {
    const columns = [...COLUMNS, { key: 'cpu', title: 'CPU', value: () => 1, uncompleted: true }];
    const all = (filter: string) => completionsOf(filter, columns, ROWS, true).map((each) => each.filter);
    expect(all('')).toEqual(['name:', 'state:', 'since:']);
    expect(all('ada ')).toEqual(['ada name:', 'ada state:', 'ada since:']);
    expect(all('c')).toEqual([]);
  });

  test('a column offers its values, with quotation marks if they have spaces', () => {
    expect(filters('state:')).toEqual(['state:"in use" ', 'state:staged ']);
    expect(filters('ada sta:STA')).toEqual(['ada state:staged ']);
  });

  test('a whole value, times and unknown columns offer nothing', () => {
    expect(filters('state:staged')).toEqual([]);
    expect(filters('since:')).toEqual([]);
    expect(filters('place:x')).toEqual([]);
    expect(filters(':x')).toEqual([]);
  });
});

describe('the export of a list', () => {
  interface Free {
    text: string | number | null;
  }
  const columns: Column<Free>[] = [{ key: 'text', title: 'Text', value: ({ text }) => text }];
  const field = (text: Free['text']) => csvOf(columns, [{ text }]).replace('\ufeffText\r\n', '').slice(0, -2);

  test.each([
    ['=1+1', "'=1+1"],
    ['+49', "'+49"],
    ['-x', "'-x"],
    ['@SUM(A1)', "'@SUM(A1)"],
    ['\t=1', "'\t=1"],
    [-5, '-5'],
    ['a,"b"\nc', '"a,""b""\nc"'],
    [null, ''],
  ])('%j is the field %j', (value, expected) => expect(field(value)).toBe(expected));

  test('the columns with values are exported, with their titles', () => {
    expect(csvOf(COLUMNS.slice(1), ROWS.slice(0, 1))).toBe('\ufeffState,Since\r\nin use,2026-11-28T10:00:00Z\r\n');
  });

  test('JSON contains the whole rows', () => expect(JSON.parse(jsonOf(ROWS))).toEqual(ROWS));
});

describe('a saved view', () => {
  const addressOf = (search: string) => {
    const params = new URLSearchParams(search);
    return { get: (name: string) => params.get(name), all: () => [...params], set: vi.fn(), setAll: vi.fn() };
  };

  test('a view has the conditions and the columns, in any order, without the tab and the page', () => {
    const query = queryOf(addressOf('tab=a&sort=-created&q=ann&cursor=7'), ['user', 'zone']);
    expect(query).toBe('columns=user%2Czone&q=ann&sort=-created');
    expect(queryOf(addressOf('q=ann&columns=user&sort=-created'), null)).toBe('q=ann&sort=-created');
  });

  test('a shown view replaces all conditions and keeps the tab', () => {
    const address = addressOf('tab=sessions&q=bob&kind=staged');
    showView(address, { name: 'Ann', query: 'columns=user&q=ann' });
    expect(address.setAll).toHaveBeenCalledWith({ columns: 'user', q: 'ann', tab: 'sessions' });
  });
});

describe('the address of a panel', () => {
  test('the parameters of the panel have a prefix', () => {
    expect(changed('?q=a&panel=/x', { tab: 'logs', q: '' }, 'p.').toString()).toBe('q=a&panel=%2Fx&p.tab=logs');
  });

  test('a closed panel leaves the parameters of the list', () => {
    expect(withoutPanel('?q=a&panel=/x&p.tab=logs').toString()).toBe('q=a');
  });
});

describe('an action for several items', () => {
  test('at most a few requests run at the same time, and each item gets its result', async () => {
    let running = 0;
    let most = 0;
    const results = new Map<number, unknown>();
    await runAll(
      Array.from({ length: 20 }, (_, index) => index),
      async (item) => {
        most = Math.max(most, ++running);
        await Promise.resolve();
        running--;
        if (item === 3) throw new Error('no');
      },
      (item, result) => results.set(item, result),
      () => false,
    );
    expect(most).toBe(PARALLEL);
    expect(results.size).toBe(20);
    expect(results.get(3)).toEqual({ error: new Error('no') });
    expect(results.get(4)).toEqual({ error: null });
  });

  test('after the end, no further request begins', async () => {
    const begun: number[] = [];
    await runAll(
      [1, 2, 3, 4, 5, 6, 7, 8],
      (item) => Promise.resolve(begun.push(item)),
      () => undefined,
      () => begun.length >= PARALLEL,
    );
    expect(begun.length).toBe(PARALLEL);
  });
});

test('the undo of a switch is the opposite request', async () => {
  const run = vi.fn((_: { enabled: boolean }, enabled: boolean) => Promise.resolve(enabled));
  for (const { run: act, undo } of switches({ effects: { enable: '', disable: '' }, run })) {
    await act({ enabled: true });
    await undo?.({ enabled: true });
  }
  expect(run.mock.calls.map(([, enabled]) => enabled)).toEqual([true, false, false, true]);
});
