/** The client of `/api/v1`: same origin, with a cookie, typed by the OpenAPI document of the api (`npm run schema`). */

import { t } from '@lingui/core/macro';
import createClient from 'openapi-fetch';
import type { paths } from '../generated/schema';
import { serverText, translateAnswer } from '../serverTexts';

export const client = createClient<paths>({ baseUrl: location.origin, credentials: 'same-origin' });

let answeredAt = performance.now(); // unlike the clock, it never goes back

/** Remembers that the server sent something now. */
export function answered(): void {
  answeredAt = performance.now();
}

/** The milliseconds since the server last sent something. */
export function silenceMs(): number {
  return performance.now() - answeredAt;
}

// The gateway answers 502 and 504 when the server does not.
client.use({
  onResponse: ({ response }) => {
    if (![502, 504].includes(response.status)) answered();
  },
});

export class ApiError extends Error {
  constructor(
    /** HTTP status; 0 = no answer. */
    readonly status: number,
    /** Stable code of the problem, e.g. `last-enabled-manager`. */
    readonly code: string,
    message: string,
    /** Field of the request → reason why its value was refused. */
    readonly fields: Record<string, string> = {},
    /** Further members of the problem, such as the permissions in `required`. */
    readonly details: Readonly<Record<string, unknown>> = {},
  ) {
    super(message);
  }
}

const UNREACHABLE = t`The server does not answer at the moment.`;

interface Answer<T> {
  data?: T;
  error?: unknown;
  response: Response;
}

/**
 * The data of an answer.
 *
 * Throws ApiError for a problem (RFC 9457) and, with status 0, if there is no answer.
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
  return translateAnswer(answer.data as T);
}

/**
 * The data of the answer to a deletion; undefined if the object was already deleted.
 *
 * A missing object is not a failure: another client deleted it, or the first answer was lost and the request was
 * repeated by `retryTemporary` or by the browser. Other problems throw ApiError as in `dataOf`.
 */
export async function deletionOf<T>(call: Promise<Answer<T>>): Promise<T | undefined> {
  try {
    return await dataOf(call);
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

/** The maximum number of rows of a list that is read as a whole. */
const MOST_ROWS = 20_000;

/** A whole list: the first page and the pages in the `Link` headers of the answers. Throws ApiError. */
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
  /** The start of the next page; null = this is the last page. */
  next: string | null;
  /** The number of rows of all pages, if the request has `count`; `10000+` = at least 10000. */
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

/** The first page with rows. The server may return pages without rows and the start of the next page. */
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
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const { code, detail, title, errors } = problem;
  const message = [detail, title].find((text) => typeof text === 'string');
  if (!message && status >= 502) return new ApiError(status, 'unavailable', UNREACHABLE);
  const sentence = message ?? t`The server answered ${status}.`;
  return new ApiError(status, typeof code === 'string' ? code : 'internal', sentence, fieldsOf(errors), problem);
}

/** The `errors` of a problem by field of the body. Several errors of one field are joined. */
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

/** Whether the error requires a log-in. */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** Whether the object does not exist, or the user may not view it. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && [403, 404].includes(error.status);
}

/** Whether a repetition may help: there was no answer, or the server is busy or starting. */
export function isTemporary(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 502);
}

/** Repeats a request a few times after a temporary failure. For requests that may be sent twice. */
export function retryTemporary(failures: number, error: unknown): boolean {
  return isTemporary(error) && failures < 2;
}

/** The message of an error for the user. */
export function messageOf(error: unknown): string {
  return serverText(error instanceof Error ? error.message : String(error));
}
