/** Recordings of leases: the actions of programs, with pictures of their screens. */

import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import { allOf, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Recording = Schemas['RecordingView'];
export type RecordedRow = Schemas['RecordedRowView'];

/** The interval of updates of an unfinished recording. */
const RENEW_MS = 3000;

const pathOf = (leaseId: Uuid) => ({ params: { path: { lease_id: leaseId } } });

/** All recordings that the user may view, newest first, or those of one session. */
export function recordingsQuery(sessionId?: Uuid) {
  const query = sessionId ? { session_id: sessionId } : {};
  return queryOptions({
    queryKey: ['recordings', sessionId ?? 'all'],
    queryFn: ({ signal }) => allOf(client.GET('/api/v1/recordings', { signal, params: { query } }), signal),
  });
}

export function recordingQuery(leaseId: Uuid) {
  return queryOptions({
    queryKey: ['recordings', 'of', leaseId],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/leases/{lease_id}/recording', { signal, ...pathOf(leaseId) })),
    refetchInterval: ({ state }) => (state.data && !state.data.ended ? RENEW_MS : false),
  });
}

/** The rows of a recording, read again if their number has grown. */
export function recordedRowsQuery({ lease_id: leaseId, rows }: Pick<Recording, 'lease_id' | 'rows'>) {
  return queryOptions({
    queryKey: ['recordings', 'rows', leaseId, rows],
    queryFn: ({ signal }) =>
      allOf(client.GET('/api/v1/leases/{lease_id}/recording/rows', { signal, ...pathOf(leaseId) }), signal),
    placeholderData: keepPreviousData,
  });
}

export function deleteRecording(leaseId: Uuid) {
  return deletionOf(client.DELETE('/api/v1/leases/{lease_id}/recording', pathOf(leaseId)));
}

/** The address of the whole recording as a ZIP file. */
export function exportAddress(leaseId: Uuid): string {
  return `/api/v1/leases/${leaseId}/recording/export`;
}

/** The address of the picture of a row. */
export function pictureAddress(leaseId: Uuid, number: number): string {
  return `/api/v1/leases/${leaseId}/recording/pictures/${number}`;
}
