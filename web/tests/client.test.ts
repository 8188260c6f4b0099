import { afterEach, describe, expect, test, vi } from 'vitest';
import {
  allOf,
  ApiError,
  dataOf,
  deletionOf,
  firstFound,
  isGone,
  isLoggedOut,
  isTemporary,
  pageOf,
  retryTemporary,
} from '../src/api/client';

function answered<T>(status: number, body?: T, headers: Record<string, string> = {}) {
  const response = new Response(null, { status, headers });
  return Promise.resolve(response.ok ? { data: body as T, response } : { error: body, response });
}

const nextIs = (address: string) => ({ link: `<${address}>; rel="next"` });
const signal = new AbortController().signal;

describe('an answer', () => {
  test('gives its data', async () => {
    expect(await dataOf(answered(200, { name: 'eu' }))).toEqual({ name: 'eu' });
  });

  test('that is a problem says status, code, sentence, and each refused field', async () => {
    const body = {
      code: 'invalid',
      title: 'Unprocessable',
      detail: 'Values cannot be used.',
      errors: [
        { loc: ['body', 'name'], msg: 'It is taken.' },
        { loc: ['body', 'ports', '0'], msg: 'It is no port.' },
        { loc: ['body', 'ports', '1'], msg: 'It is no port.' },
        { loc: ['body'], msg: 'of no field' },
      ],
    };
    await expect(dataOf(answered(422, body))).rejects.toMatchObject({
      status: 422,
      code: 'invalid',
      message: 'Values cannot be used.',
      fields: { name: 'It is taken.', ports: '0: It is no port.; 1: It is no port.' },
    });
  });

  test('without a sentence is described by its status; of a gateway, that there is no answer', async () => {
    await expect(dataOf(answered(500, 'oops'))).rejects.toMatchObject({ message: 'The server answered 500.' });
    await expect(dataOf(answered(502, 'oops'))).rejects.toMatchObject({ code: 'unavailable' });
  });

  test('that never came is status 0; an abort stays an abort', async () => {
    await expect(dataOf(Promise.reject(new TypeError('network')))).rejects.toMatchObject({ status: 0 });
    const abort = new DOMException('aborted', 'AbortError');
    await expect(dataOf(Promise.reject(abort))).rejects.toBe(abort);
  });
});

describe('a deletion', () => {
  test('of what is gone already is done', async () => {
    expect(await deletionOf(answered(404, { code: 'not-found' }))).toBeUndefined();
  });
  test('that is refused says so', async () => {
    await expect(deletionOf(answered(409, { detail: 'It is in use.' }))).rejects.toThrow('It is in use.');
  });
});

describe('a list', () => {
  afterEach(() => vi.unstubAllGlobals());

  test('is read page by page until there is no next one', async () => {
    const pages = [Response.json([3], { headers: nextIs('/api/v1/zones?cursor=c') }), Response.json([4])];
    const get = vi.fn(() => Promise.resolve(pages.shift() ?? Response.error()));
    vi.stubGlobal('fetch', get);
    expect(await allOf(answered(200, [1, 2], nextIs('/api/v1/zones?cursor=b')), signal)).toEqual([1, 2, 3, 4]);
    expect(get.mock.calls.map(([address]: unknown[]) => String(address))).toEqual([
      'https://greenroom.test/api/v1/zones?cursor=b',
      'https://greenroom.test/api/v1/zones?cursor=c',
    ]);
  });

  test('never follows a link to another origin', async () => {
    vi.stubGlobal('fetch', () => Promise.reject(new Error('asked')));
    expect(await allOf(answered(200, [1], nextIs('https://elsewhere.test/')), signal)).toEqual([1]);
  });

  test('whose later page is refused is no shorter list', async () => {
    vi.stubGlobal('fetch', () => Promise.resolve(Response.json({ detail: 'Log in.' }, { status: 401 })));
    await expect(allOf(answered(200, [1], nextIs('/api/v1/zones?cursor=b')), signal)).rejects.toThrow('Log in.');
  });

  test('of which one page is read says where the next begins, and how many rows there are', async () => {
    const headers = { ...nextIs('/api/v1/sessions?limit=1&cursor=b%3D'), 'x-total-count': '7' };
    expect(await pageOf(answered(200, ['row'], headers))).toEqual({ rows: ['row'], next: 'b=', total: '7' });
    expect(await pageOf(answered(200, ['row']))).toEqual({ rows: ['row'], next: null, total: null });
  });
});

test('rows are looked for on further pages while those before have none', async () => {
  const pages = new Map([
    [null, { rows: [], next: 'b', total: null }],
    ['b', { rows: [], next: 'c', total: null }],
    ['c', { rows: ['row'], next: 'd', total: null }],
  ]);
  const last = { rows: [], next: null, total: null };
  expect(await firstFound((cursor) => Promise.resolve(pages.get(cursor) ?? last))).toBe(pages.get('c'));
  expect(await firstFound(() => Promise.resolve(last))).toBe(last);
});

test('only what may pass by itself is tried again, and not for ever', () => {
  const statuses = [0, 401, 403, 404, 409, 500, 502, 503];
  const of = (check: (error: unknown) => boolean) => statuses.filter((status) => check(new ApiError(status, '', '')));
  expect(of(isTemporary)).toEqual([0, 502, 503]);
  expect(of(isGone)).toEqual([403, 404]);
  expect(of(isLoggedOut)).toEqual([401]);
  const lost = new ApiError(0, 'unreachable', '');
  expect([0, 1, 2].map((failures) => retryTemporary(failures, lost))).toEqual([true, true, false]);
  expect(isTemporary(new Error('a defect of the page'))).toBe(false);
});
