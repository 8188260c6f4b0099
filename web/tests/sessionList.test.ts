import { createElement } from 'react';
import { renderToStaticMarkup } from 'react-dom/server';
import { describe, expect, test, vi } from 'vitest';
import { patched } from '../src/api/sessionList';
import type { Session } from '../src/api/types';
import { Expiry } from '../src/pages/admin/sessions/Expiry';

// Times need a browser.
vi.mock('../src/components/TimeAgo', () => ({ TimeAgo: () => null }));

/** A row as far as the order of a list goes; `created` is the second of a minute. */
function row(session_id: string, created: number, status: Session['status'] = 'running'): Session {
  const time = `2026-01-01T00:00:${String(created).padStart(2, '0')}Z`;
  return { session_id, status, created: time, expires: null } as Session;
}

/** Pages of rows; the last one says whether the server has more. */
function list(pages: Session[][], hasMore = false) {
  const rows = pages.map((rows, index) => ({
    rows,
    next: hasMore || index < pages.length - 1 ? `after ${index}` : null,
    total: null,
  }));
  return { pages: rows, pageParams: [] };
}

const ids = (data: ReturnType<typeof patched>) => data.pages.map((page) => page.rows.map((each) => each.session_id));

test('a new session in a list by CPU has its place; one that does not run is last', () => {
  const used = (id: string, cpu: number, status: Session['status'] = 'running') =>
    ({ ...row(id, 0, status), cpu_used: cpu }) as Session;
  const data = list([[used('a', 0.9), used('b', 0.2)]]);
  const after = patched(data, ['c', 'd'], [used('c', 0.5), used('d', 0.7, 'stopped')], '-cpu');
  expect(ids(after)).toEqual([['a', 'c', 'b', 'd']]);
});

describe('an event in a list, newest first', () => {
  const data = list([[row('d', 40), row('c', 30)], [row('b', 20)]]);

  test('renews a row where it is', () => {
    const after = patched(data, ['c'], [row('c', 30, 'stopped')]);
    expect(ids(after)).toEqual([['d', 'c'], ['b']]);
    expect(after.pages[0]?.rows[1]?.status).toBe('stopped');
    expect(after.pages[1], 'pages without a change stay the same object').toBe(data.pages[1]);
  });

  test('removes what no longer matches', () => expect(ids(patched(data, ['c'], []))).toEqual([['d'], ['b']]));

  test.each([
    ['the newest', row('e', 50), [['e', 'd', 'c'], ['b']]],
    [
      'one between pages',
      row('x', 25),
      [
        ['d', 'c'],
        ['x', 'b'],
      ],
    ],
    [
      'the oldest',
      row('a', 10),
      [
        ['d', 'c'],
        ['b', 'a'],
      ],
    ],
  ])('puts %s where it belongs', (_, added, expected) =>
    expect(ids(patched(data, [added.session_id], [added]))).toEqual(expected),
  );

  test('leaves out what belongs to a page that is not loaded', () => {
    const more = list([[row('d', 40)]], true);
    expect(ids(patched(more, ['a'], [row('a', 10)]))).toEqual([['d']]);
  });
});

test('a list in the other direction grows at its end, and one by an unknown order not at all', () => {
  const data = list([[row('a', 10), row('b', 20)]]);
  const added = row('x', 15);
  expect(ids(patched(data, ['x'], [added], 'created'))).toEqual([['a', 'x', 'b']]);
  expect(ids(patched(data, ['x'], [added], 'shoe_size'))).toEqual([['a', 'b']]);
});

test('an unused session ends, and its row does not say that it is closed: the server does not say who has it open', () => {
  const used = { user_id: 'u', expires: '2026-01-01T01:00:00Z', expires_action: 'delete', time_limit_ends: null };
  const shown = (session: Partial<Session>) =>
    renderToStaticMarkup(createElement(Expiry, { session: { ...row('a', 0), ...used, ...session } as Session }));
  expect(shown({})).toContain('>deleted unless in use<');
  expect(shown({ expires_action: 'pause' })).toContain('>paused unless in use<');
  expect(shown({ time_limit_ends: used.expires })).toContain('>deleted<');
});
