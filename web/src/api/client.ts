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

function problemOf(status: number, body: unknown): ApiError {
  const { code, detail, title } = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>;
  const message = [detail, title].find((text) => typeof text === 'string');
  if (!message && status >= 502) return new ApiError(status, 'unavailable', UNREACHABLE);
  return new ApiError(status, String(code ?? 'internal'), String(message ?? `The server answered ${status}.`));
}

/** Whether the error says "log in (again)". */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
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
