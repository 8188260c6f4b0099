/** Service accounts: the users of programs, and the rotation of their API keys. */

import { client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type ServiceAccount = Schemas['ServiceAccountView'];

const ACCOUNT = '/api/v1/service-accounts/{service_account_id}';

export function createServiceAccount(body: Schemas['ServiceAccountCreate']) {
  return dataOf(client.POST('/api/v1/service-accounts', { body }));
}

export function changeServiceAccount(accountId: Uuid, body: Schemas['ServiceAccountPatch']) {
  return dataOf(client.PATCH(ACCOUNT, { params: { path: { service_account_id: accountId } }, body }));
}

export function deleteServiceAccount(accountId: Uuid) {
  return deletionOf(client.DELETE(ACCOUNT, { params: { path: { service_account_id: accountId } } }));
}

export function rotateApiKey(keyId: string, body: Schemas['Rotation']) {
  return dataOf(client.POST('/api/v1/api-keys/{key_id}/rotate', { params: { path: { key_id: keyId } }, body }));
}
