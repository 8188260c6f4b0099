/** The console's way to `/api/v1`: same origin, cookie, typed by the api's own OpenAPI document (`npm run schema`). */

import createClient from 'openapi-fetch';
import type { paths } from '../generated/schema';

export const client = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' });

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 when no answer came. */
    readonly status: number,
    /** Stable code of the problem, e.g. `last-enabled-manager`. */
    readonly code: string,
    message: string,
    /** Field of the request → why its value cannot be used. */
    readonly fields: Record<string, string> = {},
  ) {
    super(message);
  }
}

const UNREACHABLE = 'The server does not answer at the moment.';

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * The data of an answer.
 *
 * Throws ApiError for a problem (RFC 9457) and, with status 0, when no answer came.
 */
export async function dataOf<T>(call: Promise<Answer<T>>): Promise<T> {
  let answer: Answer<T>;
  try {
    answer = await call;
  } catch (error) {
    if (error instanceof DOMException && error.name === 'AbortError') throw error;
    throw new ApiError(0, 'unreachable', UNREACHABLE);
  }
  if (!answer.response.ok) throw problemOf(answer.response.status, answer.error);
  return answer.data as T;
}

/**
 * The data of the answer to a deletion; undefined when there is nothing to delete any more.
 *
 * That is no failure: another client was faster, or a first answer was lost on its way and the request was sent again,
 * by us (`retryTemporary`) or by the browser. Throws ApiError as `dataOf` does for everything else.
 */
export async function deletionOf<T>(call: Promise<Answer<T>>): Promise<T | undefined> {
  try {
    return await dataOf(call);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** Rows at most of a list that is read whole; more cannot be looked through on a page. */
const MOST_ROWS = 20_000;

/** A whole list: its first page and those that the answers' `Link` headers name. Throws ApiError. */
export async function allOf<T>(first: Promise<Answer<T[]>>, signal: AbortSignal): Promise<T[]> {
  let response: Response | undefined;
  const rows = await dataOf(first.then((answer) => ({ ...answer, response: (response = answer.response) })));
  for (let next = nextPage(response); next && rows.length < MOST_ROWS; next = nextPage(response)) {
    const address = new URL(next, location.origin);
    if (address.origin !== location.origin) break;
    const page = fetch(address, { signal, credentials: 'same-origin' }).then(bodyOf<T[]>);
    rows.push(...(await dataOf(page.then((answer) => ({ ...answer, response: (response = answer.response) })))));
  }
  return rows;
}

/** A page of a long list. */
export interface Page<T> {
  rows: T[];
  /** Where the next page begins; null = this is the last. */
  next: string | null;
  /** Rows of all pages, where the request says `count`; `10000+` = at least so many. */
  total: string | null;
}

/** One page of a list. Throws ApiError. */
export async function pageOf<T>(call: Promise<Answer<T[]>>): Promise<Page<T>> {
  let response: Response | undefined;
  const rows = await dataOf(call.then((answer) => ({ ...answer, response: (response = answer.response) })));
  const next = nextPage(response);
  return {
    rows,
    next: next ? new URL(next, location.origin).searchParams.get('cursor') : null,
    total: response?.headers.get('x-total-count') ?? null,
  };
}

/** The first page with rows: of pages without the server only says where to look on. */
export async function firstFound<T>(read: (cursor: string | null) => Promise<Page<T>>): Promise<Page<T>> {
  let page = await read(null);
  while (page.rows.length === 0 && page.next) page = await read(page.next);
  return page;
}

async function bodyOf<T>(response: Response): Promise<Answer<T>> {
  const body: unknown = await response.json();
  return response.ok ? { data: body as T, response } : { error: body, response };
}

function nextPage(response: Response | undefined): string | undefined {
  return /<([^>]+)>;\s*rel="next"/.exec(response?.headers.get('link') ?? '')?.[1];
}

function problemOf(status: number, body: unknown): ApiError {
  const { code, detail, title, errors } = (typeof body === 'object' && body !== null ? body : {}) as Record<
    string,
    unknown
  >;
  const message = [detail, title].find((text) => typeof text === 'string');
  if (!message && status >= 502) return new ApiError(status, 'unavailable', UNREACHABLE);
  const sentence = message ?? `The server answered ${status}.`;
  return new ApiError(status, typeof code === 'string' ? code : 'internal', sentence, fieldsOf(errors));
}

/** The `errors` of a problem by field of the body; several of one field in one text. */
function fieldsOf(errors: unknown): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const { loc, msg } of (Array.isArray(errors) ? errors : []) as { loc?: string[]; msg?: string }[]) {
    const [, name, ...inner] = loc ?? [];
    if (!name || !msg) continue;
    const text = [...inner, msg].join(': ');
    fields[name] = fields[name] ? `${fields[name]}; ${text}` : text;
  }
  return fields;
}

/** Whether the error says "log in (again)". */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** Whether the error says that there is no such thing, or none for this person. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && [403, 404].includes(error.status);
}

/** Whether repeating may help: no answer, or the server is busy or starting. */
export function isTemporary(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 502);
}

/** For requests that may be sent twice: again after a temporary failure, a few times. */
export function retryTemporary(failures: number, error: unknown): boolean {
  return isTemporary(error) && failures < 2;
}

/** The sentence to show. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
