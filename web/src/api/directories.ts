/** LDAP directories, from the package greenroom-identity: users log in with their password there. */

import { queryOptions } from '@tanstack/react-query';
import { allOf, client, dataOf, deletionOf } from './client';
import type { Schemas, Uuid } from './types';

export type Directory = Schemas['DirectoryView'];
export type SyncPreview = Schemas['SyncPreview'];

const DIRECTORY = '/api/v1/directories/{directory_id}';
const RENEW_MS = 30_000;

const pathOf = (directoryId: Uuid) => ({ params: { path: { directory_id: directoryId } } });

/** All directories by title. */
export const directoriesQuery = queryOptions({
  queryKey: ['directories'],
  queryFn: ({ signal }) => allOf(client.GET('/api/v1/directories', { signal }), signal),
  refetchInterval: RENEW_MS,
});

export function createDirectory(body: Schemas['DirectoryCreate']) {
  return dataOf(client.POST('/api/v1/directories', { body }));
}

export function changeDirectory(directoryId: Uuid, body: Schemas['DirectoryPatch']) {
  return dataOf(client.PATCH(DIRECTORY, { ...pathOf(directoryId), body }));
}

export function deleteDirectory(directoryId: Uuid) {
  return deletionOf(client.DELETE(DIRECTORY, pathOf(directoryId)));
}

/** Tests a directory with a user; empty = any user. */
export function testDirectory(directoryId: Uuid, username: string) {
  return dataOf(client.POST(`${DIRECTORY}/test`, { ...pathOf(directoryId), body: { username } }));
}

/** What a synchronization would change now. */
export function previewSynchronization(directoryId: Uuid): Promise<SyncPreview> {
  return dataOf(client.POST(`${DIRECTORY}/sync/preview`, pathOf(directoryId)));
}

/** Synchronizes a directory now; with `force`, also if too many users would be disabled. */
export function synchronizeDirectory(directoryId: Uuid, force: boolean) {
  return dataOf(client.POST(`${DIRECTORY}/sync`, { ...pathOf(directoryId), body: { force } }));
}
