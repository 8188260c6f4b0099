/** Secrets that web filters add to requests of leased sessions. The server never returns their values. */

import { queryOptions } from '@tanstack/react-query';
import { allOf, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Secret = Schemas['SecretView'];

/** The interval of updates, because leases start and end at any time. */
const RENEW_MS = 10_000;
const SECRET = '/api/v1/secrets/{secret_id}';

/** All secrets that the user may view, by name. */
export const secretsQuery = queryOptions({
  queryKey: ['secrets'],
  queryFn: ({ signal }) => allOf(client.GET('/api/v1/secrets', { signal }), signal),
  refetchInterval: RENEW_MS,
});

/** The leases with a secret that the user may view, newest first. */
export function leasesWithQuery(name: string) {
  return queryOptions({
    queryKey: ['sessions', 'leases', name],
    queryFn: async ({ signal }) => {
      const leases = await allOf(client.GET('/api/v1/leases', { signal }), signal);
      return leases.filter(({ secrets }) => secrets.includes(name));
    },
    refetchInterval: RENEW_MS,
  });
}

export function createSecret(body: Schemas['SecretCreate']) {
  return dataOf(client.POST('/api/v1/secrets', { body }));
}

export function changeSecret(secretId: Uuid, body: Schemas['SecretPatch']) {
  return dataOf(client.PATCH(SECRET, { params: { path: { secret_id: secretId } }, body }));
}

export function deleteSecret(secretId: Uuid) {
  return deletionOf(client.DELETE(SECRET, { params: { path: { secret_id: secretId } } }));
}
