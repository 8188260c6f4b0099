/** Videos of recorded sessions. */

import { queryOptions } from '@tanstack/react-query';
import type { paths } from '../generated/schema';
import { ApiError, client, dataOf, pageOf } from './client';
import { pagesOf } from './pages';
import type { Schemas, Uuid } from './types';

export type SessionVideo = Schemas['SessionVideoView'];
export type VideoSegment = Schemas['VideoSegmentView'];

type Parameters = NonNullable<paths['/api/v1/session-videos']['get']['parameters']['query']>;
/** The conditions of the videos in a list. */
export type SessionVideoQuestion = Pick<Parameters, 'is_over' | 'since' | 'until' | 'q'>;

const read = (query: Parameters, signal: AbortSignal) =>
  pageOf(client.GET('/api/v1/session-videos', { signal, params: { query } }));
const pathOf = (sessionId: Uuid) => ({ params: { path: { session_id: sessionId } } });

/** Videos of sessions, page by page. */
export function sessionVideoListQuery(question: SessionVideoQuestion & { sort: string }) {
  return pagesOf(['session-videos', 'list', question], (span, signal) => read({ ...question, ...span }, signal));
}

/** How many videos match. */
export function sessionVideoCountQuery(question: SessionVideoQuestion) {
  return queryOptions({
    queryKey: ['session-videos', 'count', question],
    queryFn: async ({ signal }) => (await read({ ...question, limit: 1, count: true }, signal)).total ?? '0',
  });
}

/** The video of a session; an empty list = there is none. */
export function videosOfSessionQuery(sessionId: Uuid) {
  return queryOptions({
    queryKey: ['session-videos', 'of', sessionId],
    queryFn: async ({ signal }) => (await read({ session_id: sessionId }, signal)).rows,
  });
}

/** The facts about a video, without its pictures. */
export function sessionVideoQuery(sessionId: Uuid) {
  return queryOptions({
    queryKey: ['session-videos', sessionId],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/session-videos/{session_id}', { signal, ...pathOf(sessionId) })),
  });
}

/** Begins a viewing, which leaves an event of the audit. */
export function viewSessionVideo(sessionId: Uuid) {
  return dataOf(client.POST('/api/v1/session-videos/{session_id}/viewings', pathOf(sessionId)));
}

export function verifySessionVideo(sessionId: Uuid) {
  return dataOf(client.GET('/api/v1/session-videos/{session_id}/verification', pathOf(sessionId)));
}

/** Reads segments, MP4 files, for a viewing. Each answer renews the viewing; after a long pause, it begins another one. */
export class SegmentReader {
  constructor(
    private readonly sessionId: Uuid,
    private viewing: string,
  ) {}

  async read(number: number, signal: AbortSignal): Promise<ArrayBuffer> {
    try {
      return await this.request(number, signal);
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 403)) throw error;
      this.viewing = (await viewSessionVideo(this.sessionId)).viewing;
      return this.request(number, signal);
    }
  }

  private async request(number: number, signal: AbortSignal): Promise<ArrayBuffer> {
    const params = { path: { session_id: this.sessionId, number }, query: { viewing: this.viewing } };
    const answer = client.GET('/api/v1/session-videos/{session_id}/segments/{number}', {
      signal,
      params,
      parseAs: 'arrayBuffer',
    });
    const data = await dataOf(answer);
    this.viewing = (await answer).response.headers.get('x-viewing') ?? this.viewing;
    return data;
  }
}
