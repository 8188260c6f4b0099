/** The console's way to `/api/v1`: same origin, cookie, JSON; problems (RFC 9457) become `ApiError`. */

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

const UNREACHABLE = 'The server does not answer. Trying again…';

async function problem(response: Response): Promise<ApiError> {
  const body = (await response.json().catch(() => null)) as { code?: string; detail?: unknown; title?: string } | null;
  const message = typeof body?.detail === 'string' ? body.detail : body?.title;
  if (!message && response.status >= 502) return new ApiError(response.status, 'unavailable', UNREACHABLE);
  return new ApiError(response.status, body?.code ?? 'internal', message ?? `The server answered ${response.status}.`);
}

/**
 * One call of `/api/v1`.
 *
 * Throws ApiError on every answer that is not 2xx, and with status 0 when no answer came.
 */
export async function call<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const init: RequestInit = { method, credentials: 'same-origin', headers: { Accept: 'application/json' } };
  if (signal) init.signal = signal;
  if (body !== undefined) {
    init.headers = { ...init.headers, 'Content-Type': 'application/json' };
    init.body = JSON.stringify(body);
  }
  let response: Response;
  try {
    response = await fetch(`/api/v1${path}`, init);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, 'unreachable', UNREACHABLE);
  }
  if (!response.ok) throw await problem(response);
  const text = await response.text();
  return (text ? JSON.parse(text) : undefined) as T;
}

/** Whether the error says "log in (again)". */
export function isLoggedOut(error: unknown): boolean {
  return error instanceof ApiError && error.status === 401;
}

/** Whether repeating may help: no answer, or the server is busy or starting. */
export function isTemporary(error: unknown): boolean {
  return error instanceof ApiError && (error.status === 0 || error.status >= 502 || error.code === 'unavailable');
}

/** The sentence to show. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
