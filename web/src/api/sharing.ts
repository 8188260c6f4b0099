/** Sharing of sessions: the shares of a user, and joining a shared session. */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Share = Schemas['ShareView'];
export type SharedWithMe = Schemas['SharedWithMe'];
export type Viewer = Schemas['ViewerView'];
export type Joined = Schemas['JoinedView'];
export type Access = Share['access'];

const SESSION = '/api/v1/sessions/{session_id}';

/** The ways in which a session may be shared. */
export function sharingQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sharing', sessionId, 'allowed'],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/sharing`, { signal, params })),
  });
}

/** The shares of a session. */
export function sharesQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sharing', sessionId, 'shares'],
    queryFn: ({ signal }) => dataOf(client.GET(`${SESSION}/shares`, { signal, params })),
  });
}

/** The viewers of a session, without its user. */
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

/** Joins the session as an administrator, to help its user. */
export function assist(sessionId: Uuid, body: Schemas['AssistOrder']) {
  return dataOf(client.POST(`${SESSION}/assist`, { params: { path: { session_id: sessionId } }, body }));
}

export const sharedWithMeQuery = queryOptions({
  queryKey: ['launcher', 'shared'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/me/shares', { signal })),
});

const SHARE = '/api/v1/shares/{share_id}';

/** The owner and the workspace of a shared link, for `userId` or a guest. */
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

/** Returns to a shared session with the token of an earlier join. */
export function comeBack(shareId: string, session_token: string): Promise<Joined> {
  return dataOf(client.POST(`${SHARE}/return`, { params: { path: { share_id: shareId } }, body: { session_token } }));
}

/** Stores the token of a viewer for this window, so that the page can be reloaded. */
export const remembered = {
  of: (shareId: string) => sessionStorage.getItem(`joined ${shareId}`),
  keep: ({ share_id, session_token }: Joined) => sessionStorage.setItem(`joined ${share_id}`, session_token),
  forget: (shareId: string) => sessionStorage.removeItem(`joined ${shareId}`),
};
