/** Videos of recorded sessions. */

import { queryOptions } from '@tanstack/react-query';
import { allOf, client, dataOf } from './client';
import type { Schemas, Uuid } from './types';

export type SessionVideo = Schemas['SessionVideoView'];
export type VideoSegment = Schemas['VideoSegmentView'];

const pathOf = (sessionId: Uuid) => ({ params: { path: { session_id: sessionId } } });

/** All videos, newest first. */
export function sessionVideosQuery() {
  return queryOptions({
    queryKey: ['session-videos'],
    queryFn: ({ signal }) => allOf(client.GET('/api/v1/session-videos', { signal }), signal),
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

/** A segment for a viewing, an MP4 file. */
export function readSegment(sessionId: Uuid, number: number, viewing: string, signal: AbortSignal) {
  const params = { path: { session_id: sessionId, number }, query: { viewing } };
  return dataOf(
    client.GET('/api/v1/session-videos/{session_id}/segments/{number}', { signal, params, parseAs: 'arrayBuffer' }),
  );
}
