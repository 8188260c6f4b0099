/** Sign-on at providers, from the package greenroom-identity. An installation without it has no providers. */

import { queryOptions } from '@tanstack/react-query';
import { allOf, ApiError, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Provider = Schemas['ProviderView'];
export type Rule = Schemas['RuleBody'];
export type TestStep = Schemas['DiagnosisStep'];

const PROVIDER = '/api/v1/sign-on-providers/{provider_id}';
const RENEW_MS = 30_000;

/** The providers on the log-in page, and the sentences of refusals. */
export const signOnQuery = queryOptions({
  queryKey: ['sign-on'],
  queryFn: async ({ signal }): Promise<Schemas['SignOnView']> => {
    try {
      return await dataOf(client.GET('/api/v1/sign-on', { signal }));
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return { providers: [], refusals: {} };
      throw error;
    }
  },
  staleTime: 60_000,
  refetchInterval: false,
});

/** All providers by title. */
export const providersQuery = queryOptions({
  queryKey: ['sign-on-providers'],
  queryFn: ({ signal }) => allOf(client.GET('/api/v1/sign-on-providers', { signal }), signal),
  refetchInterval: RENEW_MS,
});

/** The identities that are linked to the user, oldest first. */
export const ownIdentitiesQuery = queryOptions({
  queryKey: ['identities'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/me/identities', { signal })),
  refetchInterval: false,
});

/** Begins a log-in. Returns the address at the provider to which the browser goes. */
export async function startSignOn(name: string, next: string): Promise<string> {
  const params = { path: { provider_name: name } };
  return (await dataOf(client.POST('/api/v1/sign-on/{provider_name}/start', { params, body: { next } }))).url;
}

/** Begins to link an identity to the user. Returns the address at the provider to which the browser goes. */
export async function startLink(provider: string): Promise<string> {
  return (await dataOf(client.POST('/api/v1/me/identities', { body: { provider } }))).url;
}

export function unlinkOwnIdentity(identityId: Uuid) {
  const params = { path: { identity_id: identityId } };
  return deletionOf(client.DELETE('/api/v1/me/identities/{identity_id}', { params }));
}

export function createProvider(body: Schemas['ProviderCreate']) {
  return dataOf(client.POST('/api/v1/sign-on-providers', { body }));
}

export function changeProvider(providerId: Uuid, body: Schemas['ProviderPatch']) {
  return dataOf(client.PATCH(PROVIDER, { params: { path: { provider_id: providerId } }, body }));
}

export function deleteProvider(providerId: Uuid) {
  return deletionOf(client.DELETE(PROVIDER, { params: { path: { provider_id: providerId } } }));
}

export function testProvider(providerId: Uuid) {
  return dataOf(client.POST(`${PROVIDER}/test`, { params: { path: { provider_id: providerId } } }));
}

/** Lets every api read the keys of a provider again, so that none accepts a withdrawn key. */
export function forgetKeys(providerId: Uuid) {
  return deletionOf(client.POST(`${PROVIDER}/forget-keys`, { params: { path: { provider_id: providerId } } }));
}

export function previewRules(body: Schemas['PreviewRequest']) {
  return dataOf(client.POST('/api/v1/sign-on-providers/preview', { body }));
}
