/** Sessions that are shared: what one gives others, and how one joins. */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Share = Schemas['ShareView'];
export type Viewer = Schemas['ViewerView'];
export type Joined = Schemas['JoinedView'];
export type Access = Share['access'];

const SESSION = '/api/v1/sessions/{session_id}';

/** What may be shared of a session. */
export function sharingQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sharing', sessionId, 'allowed'],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/sharing`, { signal, params })),
  });
}

/** What is shared of it. */
export function sharesQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sharing', sessionId, 'shares'],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/shares`, { signal, params })),
  });
}

/** Who is in it besides its user. */
export function viewersQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sharing', sessionId, 'viewers'],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/viewers`, { signal, params })),
  });
}

export function candidatesQuery(sessionId: Uuid, q: string) {
  const params = { path: { session_id: sessionId }, query: { q } };
  return queryOptions({
    queryKey: ['candidates', sessionId, q],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/share-candidates`, { signal, params })),
    enabled: q !== '',
  });
}

export function createShare(sessionId: Uuid, body: Schemas['ShareCreate']) {
  return dataOf(client.POST(`${SESSION}/shares`, { params: { path: { session_id: sessionId } }, body }));
}

export function endShare({ session_id, share_id }: Pick<Share, 'session_id' | 'share_id'>) {
  return deletionOf(client.DELETE(`${SESSION}/shares/{share_id}`, { params: { path: { session_id, share_id } } }));
}

export function putOut(sessionId: Uuid, viewerId: Uuid) {
  const params = { path: { session_id: sessionId, viewer_id: viewerId } };
  return deletionOf(client.DELETE(`${SESSION}/viewers/{viewer_id}`, { params }));
}

export function takeControlBack(sessionId: Uuid) {
  return dataOf(client.POST(`${SESSION}/take-control`, { params: { path: { session_id: sessionId } } }));
}

/** An administrator joins to help. */
export function assist(sessionId: Uuid, body: Schemas['AssistOrder']) {
  return dataOf(client.POST(`${SESSION}/assist`, { params: { path: { session_id: sessionId } }, body }));
}

export const sharedWithMeQuery = queryOptions({
  queryKey: ['launcher', 'shared'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/me/shares', { signal })),
});

const SHARE = '/api/v1/shares/{share_id}';

/** Whose session a link leads to; for `userId`, or a guest. */
export function invitationQuery(shareId: string, token: string, userId: Uuid | null) {
  const params = { path: { share_id: shareId } };
  return queryOptions({
    queryKey: ['invitation', shareId, userId],
    queryFn: ({ signal }) => dataOf(client.POST(`${SHARE}/invitation`, { signal, params, body: { token } })),
  });
}

export function join(shareId: string, token: string, name: string): Promise<Joined> {
  return dataOf(client.POST(`${SHARE}/viewers`, { params: { path: { share_id: shareId } }, body: { token, name } }));
}

/** Come back with the token that one got when one joined. */
export function comeBack(shareId: string, session_token: string): Promise<Joined> {
  return dataOf(client.POST(`${SHARE}/return`, { params: { path: { share_id: shareId } }, body: { session_token } }));
}

/** The token of those who joined in this window, so that it can be loaded again. */
export const remembered = {
  of: (shareId: string) => sessionStorage.getItem(`joined ${shareId}`),
  keep: ({ share_id, session_token }: Joined) => sessionStorage.setItem(`joined ${share_id}`, session_token),
  forget: (shareId: string) => sessionStorage.removeItem(`joined ${shareId}`),
};
