/** What the pages read, and what they ask to be done. Every address of `/api/v1` the console uses is here. */

import { queryOptions } from '@tanstack/react-query';
import { call } from './client';
import type {
  Agent,
  ApiKey,
  Connection,
  Group,
  Image,
  LauncherImage,
  LogRow,
  Manager,
  ManagerRequest,
  PermissionField,
  Session,
  Setting,
  StagingConfig,
  User,
  Uuid,
  Zone,
} from './types';

function listOf<T>(key: string, path: string) {
  return queryOptions({ queryKey: [key], queryFn: ({ signal }) => call<T[]>('GET', path, undefined, signal) });
}

export const sessionsQuery = listOf<Session>('sessions', '/sessions');
export const stagingQuery = listOf<StagingConfig>('staging-configs', '/staging-configs');
export const imagesQuery = listOf<Image>('images', '/images');
export const zonesQuery = listOf<Zone>('zones', '/zones');
export const managersQuery = listOf<Manager>('managers', '/managers');
export const agentsQuery = listOf<Agent>('agents', '/agents');
export const usersQuery = listOf<User>('users', '/users');
export const groupsQuery = listOf<Group>('groups', '/groups');
export const apiKeysQuery = listOf<ApiKey>('api-keys', '/api-keys');
export const managerRequestsQuery = listOf<ManagerRequest>('manager-requests', '/diagnostics/manager-requests');

/** Log rows of at least this level, newest first. */
export function logsQuery(level: string) {
  return queryOptions({
    queryKey: ['logs', level],
    queryFn: ({ signal }) => call<LogRow[]>('GET', `/logs?level=${level}&limit=500`, undefined, signal),
  });
}

/** The workspaces the person may start, and the person's own sessions. */
export const launcherQuery = listOf<LauncherImage>('launcher', '/me/images');
export const mySessionsQuery = queryOptions({
  queryKey: ['sessions', 'mine'],
  queryFn: ({ signal }) => call<Session[]>('GET', '/me/sessions', undefined, signal),
});

export function sessionQuery(sessionId: Uuid) {
  return queryOptions({
    queryKey: ['sessions', sessionId],
    queryFn: ({ signal }) => call<Session>('GET', `/sessions/${sessionId}`, undefined, signal),
  });
}

export function connectionQuery(sessionId: Uuid) {
  return queryOptions({
    queryKey: ['connection', sessionId],
    queryFn: ({ signal }) => call<Connection>('GET', `/sessions/${sessionId}/connection`, undefined, signal),
  });
}

export function launchSession(imageId: Uuid): Promise<{ session_id: Uuid }> {
  return call('POST', '/sessions', { image_id: imageId });
}

export function deleteSession(sessionId: Uuid): Promise<unknown> {
  return call('DELETE', `/sessions/${sessionId}`);
}

export function keepSessionAlive(sessionId: Uuid): Promise<unknown> {
  return call('POST', `/sessions/${sessionId}/keepalives`);
}

export function changeManager(managerId: Uuid, change: { enabled: boolean }): Promise<unknown> {
  return call('PATCH', `/managers/${managerId}`, change);
}

export function changeAgent(agentId: Uuid, change: { enabled: boolean }): Promise<unknown> {
  return call('PATCH', `/agents/${agentId}`, change);
}

/** What a staging config is made of; permissions left out take the values of group All Users. */
export type StagingInput = Pick<StagingConfig, 'zone_id' | 'image_id' | 'num_sessions' | 'expiration'> &
  Partial<Record<PermissionField, boolean>>;

/** What saving a config answers beside the config. */
export interface StagingSaved extends StagingConfig {
  matching_users?: number;
  warning?: string | null;
}

export function createStagingConfig(input: StagingInput): Promise<StagingSaved> {
  return call('POST', '/staging-configs', input);
}

export function changeStagingConfig(
  id: Uuid,
  change: Partial<StagingInput> & { paused?: boolean },
): Promise<StagingSaved> {
  return call('PATCH', `/staging-configs/${id}`, change);
}

export function recycleStagingConfig(id: Uuid): Promise<unknown> {
  return call('POST', `/staging-configs/${id}/recycle`);
}

export function deleteStagingConfig(id: Uuid): Promise<unknown> {
  return call('DELETE', `/staging-configs/${id}`);
}

export function changeZone(zoneId: Uuid, change: Partial<Zone>): Promise<unknown> {
  return call('PATCH', `/zones/${zoneId}`, change);
}

export function changeImage(imageId: Uuid, change: { enabled: boolean }): Promise<unknown> {
  return call('PATCH', `/images/${imageId}`, change);
}

/** A new person; `groups` are those besides All Users. */
export interface UserInput {
  username: string;
  password: string;
  first_name: string;
  last_name: string;
  groups: Uuid[];
}

export function createUser(input: UserInput): Promise<unknown> {
  return call('POST', '/users', input);
}

export function changeUser(userId: Uuid, change: { disabled: boolean }): Promise<unknown> {
  return call('PATCH', `/users/${userId}`, change);
}

export function deleteUser(userId: Uuid): Promise<unknown> {
  return call('DELETE', `/users/${userId}`);
}

/** The settings that groups can have. */
export const settingsQuery = listOf<Setting>('settings', '/group-settings');

/** A setting of null is removed, so that the next group's value or the default holds. */
export function changeGroupSettings(groupId: Uuid, settings: Record<string, unknown>): Promise<unknown> {
  return call('PATCH', `/groups/${groupId}`, { settings });
}
