/** What the pages read, and what they ask to be done. Every address of `/api/v1` the console uses is here. */

import { queryOptions } from '@tanstack/react-query';
import { client, dataOf } from './client';
import type { Schemas, Uuid } from './types';

type Init = { signal: AbortSignal };

/** A list of the api under the key that events name (see live.ts). */
function listOf<T>(key: string, get: (init: Init) => Promise<{ data?: T[]; error?: unknown; response: Response }>) {
  return queryOptions({ queryKey: [key], queryFn: ({ signal }) => dataOf(get({ signal })) });
}

export const zonesQuery = listOf('zones', (init) => client.GET('/api/v1/zones', init));
export const managersQuery = listOf('managers', (init) => client.GET('/api/v1/managers', init));
export const agentsQuery = listOf('agents', (init) => client.GET('/api/v1/agents', init));
export const imagesQuery = listOf('images', (init) => client.GET('/api/v1/images', init));
export const usersQuery = listOf('users', (init) => client.GET('/api/v1/users', init));
export const groupsQuery = listOf('groups', (init) => client.GET('/api/v1/groups', init));
export const groupSettingsQuery = listOf('group-settings', (init) => client.GET('/api/v1/group-settings', init));
export const settingsQuery = listOf('settings', (init) => client.GET('/api/v1/settings', init));
export const permissionsQuery = listOf('permissions', (init) => client.GET('/api/v1/permissions', init));
export const apiKeysQuery = listOf('api-keys', (init) => client.GET('/api/v1/api-keys', init));
export const managerRequestsQuery = listOf('manager-requests', (init) =>
  client.GET('/api/v1/diagnostics/manager-requests', init),
);
export const sessionsQuery = listOf('sessions', (init) => client.GET('/api/v1/sessions', init));
export const stagingQuery = listOf('staging-configs', (init) => client.GET('/api/v1/staging-configs', init));

/** The workspaces the person may start. */
export const launcherQuery = listOf('launcher', (init) => client.GET('/api/v1/me/images', init));

/** The person's own sessions. */
export const mySessionsQuery = queryOptions({
  queryKey: ['sessions', 'mine'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/me/sessions', { signal })),
});

const LOG_ROWS = 500;

/** Log rows of at least this level, newest first. */
export function logsQuery(level: 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR') {
  return queryOptions({
    queryKey: ['logs', level],
    queryFn: ({ signal }) =>
      dataOf(client.GET('/api/v1/logs', { signal, params: { query: { level, limit: LOG_ROWS } } })),
  });
}

export function sessionQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['sessions', sessionId],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/sessions/{session_id}', { signal, params })),
  });
}

export function connectionQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return queryOptions({
    queryKey: ['connection', sessionId],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/sessions/{session_id}/connection', { signal, params })),
  });
}

/** A launch with the key that makes its repetition harmless (a lost answer never starts a second session). */
export interface Launch {
  imageId: Uuid;
  key: string;
}

export function newLaunch(imageId: Uuid): Launch {
  return { imageId, key: crypto.randomUUID() };
}

export function launchSession({ imageId, key }: Launch) {
  const params = { header: { 'idempotency-key': key } };
  return dataOf(client.POST('/api/v1/sessions', { params, body: { image_id: imageId } }));
}

export function deleteSession(sessionId: Uuid) {
  return dataOf(client.DELETE('/api/v1/sessions/{session_id}', { params: { path: { session_id: sessionId } } }));
}

export function keepSessionAlive(sessionId: Uuid) {
  return dataOf(
    client.POST('/api/v1/sessions/{session_id}/keepalives', { params: { path: { session_id: sessionId } } }),
  );
}

export function createStagingConfig(body: Schemas['StagingCreate']) {
  return dataOf(client.POST('/api/v1/staging-configs', { body }));
}

const STAGING_CONFIG = '/api/v1/staging-configs/{staging_config_id}';

export function changeStagingConfig(id: Uuid, body: Schemas['StagingPatch']) {
  return dataOf(client.PATCH(STAGING_CONFIG, { params: { path: { staging_config_id: id } }, body }));
}

export function recycleStagingConfig(id: Uuid) {
  return dataOf(client.POST(`${STAGING_CONFIG}/recycle`, { params: { path: { staging_config_id: id } } }));
}

export function deleteStagingConfig(id: Uuid) {
  return dataOf(client.DELETE(STAGING_CONFIG, { params: { path: { staging_config_id: id } } }));
}

export function changeManager(managerId: Uuid, body: Schemas['ManagerPatch']) {
  return dataOf(client.PATCH('/api/v1/managers/{manager_id}', { params: { path: { manager_id: managerId } }, body }));
}

export function changeAgent(agentId: Uuid, body: Schemas['AgentPatch']) {
  return dataOf(client.PATCH('/api/v1/agents/{agent_id}', { params: { path: { agent_id: agentId } }, body }));
}

export function changeZone(zoneId: Uuid, body: Schemas['ZonePatch']) {
  return dataOf(client.PATCH('/api/v1/zones/{zone_id}', { params: { path: { zone_id: zoneId } }, body }));
}

export function changeImage(imageId: Uuid, body: Schemas['ImagePatch']) {
  return dataOf(client.PATCH('/api/v1/images/{image_id}', { params: { path: { image_id: imageId } }, body }));
}

export function createUser(body: Schemas['UserCreate']) {
  return dataOf(client.POST('/api/v1/users', { body }));
}

export function changeUser(userId: Uuid, body: Schemas['UserPatch']) {
  return dataOf(client.PATCH('/api/v1/users/{user_id}', { params: { path: { user_id: userId } }, body }));
}

export function deleteUser(userId: Uuid) {
  return dataOf(client.DELETE('/api/v1/users/{user_id}', { params: { path: { user_id: userId } } }));
}

/** A setting of null is removed, so that the next group's value or the default holds. */
export function changeGroupSettings(groupId: Uuid, settings: Record<string, unknown>) {
  const params = { path: { group_id: groupId } };
  return dataOf(client.PATCH('/api/v1/groups/{group_id}', { params, body: { settings } }));
}

/** A setting of null gets its default back. */
export function changeSettings(body: Record<string, unknown>) {
  return dataOf(client.PATCH('/api/v1/settings', { body }));
}

export function createApiKey(body: Schemas['KeyCreate']) {
  return dataOf(client.POST('/api/v1/api-keys', { body }));
}

export function changeApiKey(keyId: string, body: Schemas['KeyPatch']) {
  return dataOf(client.PATCH('/api/v1/api-keys/{key_id}', { params: { path: { key_id: keyId } }, body }));
}

export function deleteApiKey(keyId: string) {
  return dataOf(client.DELETE('/api/v1/api-keys/{key_id}', { params: { path: { key_id: keyId } } }));
}
