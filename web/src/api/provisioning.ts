/** SCIM clients, from the package greenroom-identity: identity providers that create and disable users. */

import { queryOptions } from '@tanstack/react-query';
import { allOf, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type ScimClient = Schemas['ScimClientView'];

const CLIENT = '/api/v1/scim-clients/{client_id}';
const RENEW_MS = 30_000;

/** All SCIM clients by name. */
export const scimClientsQuery = queryOptions({
  queryKey: ['scim-clients'],
  queryFn: ({ signal }) => allOf(client.GET('/api/v1/scim-clients', { signal }), signal),
  refetchInterval: RENEW_MS,
});

export function createScimClient(body: Schemas['ScimClientCreate']) {
  return dataOf(client.POST('/api/v1/scim-clients', { body }));
}

export function changeScimClient(clientId: Uuid, body: Schemas['ScimClientPatch']) {
  return dataOf(client.PATCH(CLIENT, { params: { path: { client_id: clientId } }, body }));
}

/** Replaces the token of a client. The present token stays valid for `overlap_s`. */
export function rotateScimToken(clientId: Uuid, overlap_s: number) {
  return dataOf(client.POST(`${CLIENT}/token`, { params: { path: { client_id: clientId } }, body: { overlap_s } }));
}

export function deleteScimClient(clientId: Uuid) {
  return deletionOf(client.DELETE(CLIENT, { params: { path: { client_id: clientId } } }));
}
