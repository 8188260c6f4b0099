import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { guardLeaving, leaves, type Navigator, watchBack } from '../src/components/leaving';

const PAGE = { pathname: '/admin/settings', search: '?q=log' };

beforeEach(() => {
  vi.stubGlobal('location', { ...PAGE, href: 'https://greenroom.test/admin/settings?q=log' });
  vi.stubGlobal('history', { state: { idx: 3 }, go: vi.fn() });
  vi.stubGlobal('window', new EventTarget());
});
afterEach(() => vi.unstubAllGlobals());

test.each([
  [{ pathname: '/admin/users' }, true],
  [{ pathname: '/admin/settings', search: '?q=other' }, false],
  [{ pathname: '/admin/settings', search: '?tab=members' }, true],
  [{ search: '?q=' }, false],
])('to %j: %s', (to, left) => expect(leaves(PAGE, to, false)).toBe(left));

test.each([
  ['?q=log&panel=/admin/users/1', false],
  ['?panel=/admin/users/1&p.q=ann', false],
  ['?q=log&panel=/admin/users/2', true],
  ['?q=log&panel=/admin/users/1&p.tab=logins', true],
  ['?q=log', true],
])('from a form in the panel to %s: %s', (search, left) => {
  const page = { pathname: '/admin/users', search: '?q=log&panel=/admin/users/1' };
  expect(leaves(page, { search }, true)).toBe(left);
  expect(leaves(page, { search }, false), 'a form beside the panel stays').toBe(false);
});

function guarded() {
  const went: string[] = [];
  const go = (to: unknown) => void went.push(String(to));
  const navigator: Navigator = { push: go, replace: go };
  const asked: (() => void)[] = [];
  const stop = guardLeaving(navigator, false, (leave) => void asked.push(leave));
  return { navigator, went, asked, stop };
}

test('a link to another page waits for the answer, a filter of the page does not', () => {
  const { navigator, went, asked, stop } = guarded();
  navigator.replace('/admin/settings?q=x');
  navigator.push('/admin/users');
  expect([went, asked.length]).toEqual([['/admin/settings?q=x'], 1]);
  asked[0]?.();
  expect(went).toEqual(['/admin/settings?q=x', '/admin/users']);
  stop();
  navigator.push('/admin/zones');
  expect([went.at(-1), asked.length]).toEqual(['/admin/zones', 1]);
});

test('back returns to the page, and goes on after the answer', () => {
  watchBack();
  const seen = vi.fn();
  window.addEventListener('popstate', seen); // as the router does, before the form has changes
  const { asked, stop } = guarded();
  vi.stubGlobal('location', { pathname: '/admin', search: '', href: 'https://greenroom.test/admin' });
  const go = vi.fn();
  vi.stubGlobal('history', { state: { idx: 2 }, go });
  window.dispatchEvent(new Event('popstate', { cancelable: true }));
  expect([go.mock.calls, asked.length, seen.mock.calls.length]).toEqual([[[1]], 1, 0]);
  window.dispatchEvent(new Event('popstate')); // of the return
  expect([asked.length, seen.mock.calls.length]).toEqual([1, 0]);
  asked[0]?.();
  expect(go.mock.lastCall).toEqual([-1]);
  window.dispatchEvent(new Event('popstate'));
  expect(seen).toHaveBeenCalledTimes(1);
  stop();
});
