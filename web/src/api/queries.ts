/** The queries of the pages. With actions.ts and auth.ts, they are all requests of the console to `/api/v1`. */

import { keepPreviousData, queryOptions } from '@tanstack/react-query';
import type { paths } from '../generated/schema';
import { serverText } from '../serverTexts';
import { allOf, client, dataOf, firstFound, pageOf } from './client';
import { pagesOf } from './pages';
import type { Schemas, Uuid } from './types';

type Init = Record<'signal', AbortSignal>;
type Reply<T> = Promise<{ data?: T; error?: unknown; response: Response }>;

/** One answer of the api. */
function answerOf<T>(queryKey: unknown[], get: (init: Init) => Reply<T>) {
  return queryOptions({ queryKey, queryFn: ({ signal }) => dataOf(get({ signal })) });
}

/** A whole list of the api under the key that events name (see live.ts). */
function listOf<T>(key: string, get: (init: Init) => Reply<T[]>) {
  return queryOptions({ queryKey: [key], queryFn: ({ signal }) => allOf(get({ signal }), signal) });
}

const TEXTS = ['title', 'section', 'description', 'reason'];

/** A list with constant texts of the server, in the language of the console. */
function translatedListOf<T extends object>(key: string, get: (init: Init) => Reply<T[]>) {
  const translated = (row: T) =>
    Object.fromEntries(
      Object.entries(row).map(([name, value]: [string, unknown]) =>
        TEXTS.includes(name) && typeof value === 'string' ? [name, serverText(value)] : [name, value],
      ),
    ) as T;
  return queryOptions({
    queryKey: [key],
    queryFn: async ({ signal }) => (await allOf(get({ signal }), signal)).map(translated),
  });
}

export const zonesQuery = listOf('zones', (init) => client.GET('/api/v1/zones', init));
export const managersQuery = listOf('managers', (init) => client.GET('/api/v1/managers', init));
export const agentsQuery = listOf('agents', (init) => client.GET('/api/v1/agents', init));
export const joinTokensQuery = listOf('join-tokens', (init) => client.GET('/api/v1/join-tokens', init));
export const gatewaysQuery = listOf('gateways', (init) => client.GET('/api/v1/gateways', init));
export const machinePoolsQuery = listOf('machine-pools', (init) => client.GET('/api/v1/machine-pools', init));
export const machineOrdersQuery = listOf('machine-orders', (init) => client.GET('/api/v1/machine-orders', init));
export const imagesQuery = listOf('images', (init) => client.GET('/api/v1/images', init));
export const catalogueQuery = listOf('catalogue', (init) => client.GET('/api/v1/catalogue', init));
export const cataloguesQuery = listOf('catalogues', (init) => client.GET('/api/v1/catalogues', init));
export const filterPoliciesQuery = listOf('filter-policies', (init) => client.GET('/api/v1/filter-policies', init));
export const usersQuery = listOf('users', (init) => client.GET('/api/v1/users', init));
export const groupsQuery = listOf('groups', (init) => client.GET('/api/v1/groups', init));
export const groupSettingsQuery = translatedListOf('group-settings', (init) =>
  client.GET('/api/v1/group-settings', init),
);
export const settingsQuery = translatedListOf('settings', (init) => client.GET('/api/v1/settings', init));
export const permissionsQuery = translatedListOf('permissions', (init) => client.GET('/api/v1/permissions', init));
export const rolesQuery = translatedListOf('roles', (init) => client.GET('/api/v1/roles', init));
export const serviceAccountsQuery = listOf('service-accounts', (init) => client.GET('/api/v1/service-accounts', init));
export const apiKeysQuery = listOf('api-keys', (init) => client.GET('/api/v1/api-keys', init));

export const webhooksQuery = listOf('webhooks', (init) => client.GET('/api/v1/webhooks', init));

export function webhookQuery(webhookId: Uuid) {
  const params = { path: { webhook_id: webhookId } };
  return answerOf(['webhooks', webhookId], (init) => client.GET('/api/v1/webhooks/{webhook_id}', { ...init, params }));
}

/** The conditions for messages of a webhook; without a condition, all match. */
export type DeliveryQuestion = NonNullable<
  paths['/api/v1/webhooks/{webhook_id}/deliveries']['get']['parameters']['query']
>;

/** The messages of a webhook, newest first: a page that starts at `cursor`. */
export function deliveriesQuery(webhookId: Uuid, query: DeliveryQuestion) {
  const params = { path: { webhook_id: webhookId }, query };
  return queryOptions({
    queryKey: ['webhooks', webhookId, 'deliveries', query],
    queryFn: ({ signal }) => pageOf(client.GET('/api/v1/webhooks/{webhook_id}/deliveries', { signal, params })),
    refetchInterval: 3000,
  });
}

/** The conditions for kept home folders. Without a condition, those of all users match, or only the own ones. */
export type HomesQuestion = Pick<
  NonNullable<paths['/api/v1/homes']['get']['parameters']['query']>,
  'user_id' | 'image_id'
>;

export function homesQuery(query: HomesQuestion) {
  return queryOptions({
    queryKey: ['homes', query],
    queryFn: ({ signal }) => allOf(client.GET('/api/v1/homes', { signal, params: { query } }), signal),
    refetchInterval: ({ state }) => (state.data?.some((home) => home.state === 'deleting') ? 2000 : 30_000),
  });
}

/** The actions that the plan of a machine pool would take now. */
export function machinePreviewQuery(name: string) {
  const params = { path: { machine_pool_id: name } };
  return answerOf(['machine-preview', name], (init) =>
    client.GET('/api/v1/machine-pools/{machine_pool_id}/preview', { ...init, params }),
  );
}

export function managerQuery(managerId: Uuid) {
  const params = { path: { manager_id: managerId } };
  return answerOf(['managers', managerId], (init) => client.GET('/api/v1/managers/{manager_id}', { ...init, params }));
}

export function zoneQuery(zoneId: Uuid) {
  const params = { path: { zone_id: zoneId } };
  return answerOf(['zones', zoneId], (init) => client.GET('/api/v1/zones/{zone_id}', { ...init, params }));
}

export function agentQuery(agentId: Uuid) {
  const params = { path: { agent_id: agentId } };
  return answerOf(['agents', agentId], (init) => client.GET('/api/v1/agents/{agent_id}', { ...init, params }));
}

/** The conditions for requests of Agents; without a condition, all match. */
export type RequestQuestion = NonNullable<paths['/api/v1/diagnostics/manager-requests']['get']['parameters']['query']>;

/** Requests of Agents to Managers, newest first: a page of at most `limit` rows that starts at `cursor`. */
export function managerRequestsQuery(question: RequestQuestion, limit: number) {
  const query = { ...question, limit };
  return queryOptions({
    queryKey: ['manager-requests', query],
    queryFn: ({ signal }) => pageOf(client.GET('/api/v1/diagnostics/manager-requests', { signal, params: { query } })),
  });
}

/** The sessions of a pool without a user: the staged or the quarantined ones. */
export function poolSessionsQuery(configId: Uuid, quarantined: boolean) {
  const query = { staging_config_id: configId, ...(quarantined ? { set_aside: true } : { staged: true }) };
  return queryOptions({
    queryKey: ['sessions', 'pool', query],
    queryFn: ({ signal }) => allOf(client.GET('/api/v1/sessions', { signal, params: { query } }), signal),
  });
}

export const stagingQuery = listOf('staging-configs', (init) => client.GET('/api/v1/staging-configs', init));

export function stagingConfigQuery(configId: Uuid) {
  const params = { path: { staging_config_id: configId } };
  return answerOf(['staging-configs', configId], (init) =>
    client.GET('/api/v1/staging-configs/{staging_config_id}', { ...init, params }),
  );
}

/** The outcomes of the launches that considered a pool. */
export function stagingHistoryQuery(configId: Uuid) {
  const params = { path: { staging_config_id: configId } };
  return answerOf(['staging-history', configId], (init) =>
    client.GET('/api/v1/staging-configs/{staging_config_id}/history', { ...init, params }),
  );
}

/** Whether a user, by id or name, would get a session of a pool now. */
export function stagingAnswerQuery(configId: Uuid, user: string) {
  const params = { path: { staging_config_id: configId }, query: { user } };
  return answerOf(['staging-answer', configId, user], (init) =>
    client.GET('/api/v1/staging-configs/{staging_config_id}/explain', { ...init, params }),
  );
}

/** The workspaces that the user may launch. */
export const launcherQuery = translatedListOf('launcher', (init) => client.GET('/api/v1/me/images', init));

/** The sessions of the user. */
export const mySessionsQuery = answerOf(['sessions', 'mine'], (init) => client.GET('/api/v1/me/sessions', init));

/** The conditions for log rows: a minimum level and optional other conditions. */
export interface LogQuestion {
  level: 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR';
  component?: string;
  code?: string;
  /** Part of the message. */
  text?: string;
  zone_name?: string;
  session_id?: Uuid;
  user_id?: Uuid;
  staging_config_id?: Uuid;
  /** Only rows at or after this time. */
  since?: string;
  /** Only rows before this time. */
  until?: string;
}

/** The number of rows of further requests, after pages without a matching row. The server searches many times as many rows. */
const FURTHER_ROWS = 1000;

/** Log rows, newest first. With a text, the search continues until rows are found. */
export function logsQuery({ text, ...question }: LogQuestion, limit: number) {
  const query = { ...question, ...(text ? { q: text } : {}), limit };
  return queryOptions({
    queryKey: ['logs', query],
    queryFn: ({ signal }) =>
      firstFound((cursor) => {
        const further = cursor ? { cursor, limit: FURTHER_ROWS } : {};
        return pageOf(client.GET('/api/v1/logs', { signal, params: { query: { ...query, ...further } } }));
      }),
    ...(text ? { refetchInterval: 60_000 } : {}),
  });
}

/** The numbers of the log rows of a list over time, by level. */
export function logHistogramQuery({ text, ...question }: LogQuestion) {
  const query = { ...question, ...(text ? { q: text } : {}) };
  return queryOptions({
    queryKey: ['log-histogram', query],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/logs/histogram', { signal, params: { query } })),
    // New rows are frequent, and this request reads more than the list.
    refetchInterval: 30_000,
    placeholderData: keepPreviousData,
  });
}

/** A session or its successor; without `follow`, never the successor. */
export function sessionQuery(sessionId: Uuid, { follow = true } = {}) {
  const params = { path: { session_id: sessionId }, query: { follow } };
  return answerOf(['sessions', sessionId, { follow }], (init) =>
    client.GET('/api/v1/sessions/{session_id}', { ...init, params }),
  );
}

export function connectionQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return answerOf(['connection', sessionId], (init) =>
    client.GET('/api/v1/sessions/{session_id}/connection', { ...init, params }),
  );
}

export function groupQuery(groupId: Uuid) {
  const params = { path: { group_id: groupId } };
  return answerOf(['groups', groupId], (init) => client.GET('/api/v1/groups/{group_id}', { ...init, params }));
}

/** The values for members of a group for settings that the group does not set. */
export function inheritedSettingsQuery(groupId: Uuid) {
  const params = { path: { group_id: groupId } };
  return answerOf(['groups', groupId, 'inherited'], (init) =>
    client.GET('/api/v1/groups/{group_id}/inherited-settings', { ...init, params }),
  );
}

export function userQuery(userId: Uuid) {
  const params = { path: { user_id: userId } };
  return answerOf(['users', userId], (init) => client.GET('/api/v1/users/{user_id}', { ...init, params }));
}

export function imageQuery(imageId: Uuid) {
  const params = { path: { image_id: imageId } };
  return answerOf(['images', imageId], (init) => client.GET('/api/v1/images/{image_id}', { ...init, params }));
}

/** The placement of a session. */
export function placementQuery(sessionId: Uuid) {
  const params = { path: { session_id: sessionId } };
  return answerOf(['sessions', sessionId, 'placement'], (init) =>
    client.GET('/api/v1/sessions/{session_id}/placement', { ...init, params }),
  );
}

/** The screen of a running session. A picture is requested when it is shown, not after every event. */
export function screenshotQuery(sessionId: Uuid, width: number) {
  const params = { path: { session_id: sessionId }, query: { width, height: width } };
  return queryOptions({
    queryKey: ['screenshot', sessionId, width],
    queryFn: ({ signal }) =>
      dataOf<Blob>(client.GET('/api/v1/sessions/{session_id}/screenshot', { signal, params, parseAs: 'blob' })),
    staleTime: 30_000,
    refetchInterval: false,
    retry: false,
  });
}

/** The state of a session by its connect address. It is requested with POST, so that no log contains the token. */
export function connectQuery(address: Schemas['ConnectBody']) {
  return queryOptions({
    queryKey: ['connection', 'by-token', address.session_id],
    queryFn: ({ signal }) => dataOf(client.POST('/api/v1/connect', { signal, body: address })),
  });
}

/** The launch options of the user. */
export const launchOptionsQuery = answerOf(['launcher', 'options'], (init) =>
  client.GET('/api/v1/me/launch-options', init),
);

export const ownLoginsQuery = answerOf(['me', 'logins'], (init) => client.GET('/api/v1/me/logins', init));

export function userAttributesQuery(userId: Uuid) {
  const params = { path: { user_id: userId } };
  return answerOf(['users', userId, 'attributes'], (init) =>
    client.GET('/api/v1/users/{user_id}/attributes', { ...init, params }),
  );
}

export function userLoginsQuery(userId: Uuid) {
  const params = { path: { user_id: userId } };
  return answerOf(['users', userId, 'logins'], (init) =>
    client.GET('/api/v1/users/{user_id}/logins', { ...init, params }),
  );
}

/** The effective group settings of a user, each with its source. */
export function userSettingsQuery(userId: Uuid) {
  const params = { path: { user_id: userId } };
  return answerOf(['groups', 'effective', userId], (init) =>
    client.GET('/api/v1/users/{user_id}/settings', { ...init, params }),
  );
}

type LaunchQuestion = Pick<
  NonNullable<paths['/api/v1/launches']['get']['parameters']['query']>,
  'outcome' | 'since' | 'until' | 'q'
>;

/** The launches and their outcomes. */
export function launchListQuery(question: LaunchQuestion & { sort: string }) {
  return pagesOf(['launches', 'list', question], (span, signal) =>
    pageOf(client.GET('/api/v1/launches', { signal, params: { query: { ...question, ...span } } })),
  );
}

type AuditParameters = NonNullable<paths['/api/v1/audit']['get']['parameters']['query']>;
export type AuditQuestion = Pick<AuditParameters, 'result' | 'since' | 'until' | 'request_id' | 'q'>;

/** Events of the audit, page by page. */
export function auditListQuery(question: AuditQuestion & { sort: string }) {
  return pagesOf(['audit', 'list', question], (span, signal) =>
    pageOf(client.GET('/api/v1/audit', { signal, params: { query: { ...question, ...span } } })),
  );
}

/** How many events match. */
export function auditCountQuery(question: AuditQuestion) {
  return queryOptions({
    queryKey: ['audit', 'count', question],
    queryFn: async ({ signal }) => {
      const query = { ...question, limit: 1, count: true };
      return (await pageOf(client.GET('/api/v1/audit', { signal, params: { query } }))).total ?? '0';
    },
  });
}

/** How many launches match. */
export function launchCountQuery(question: LaunchQuestion) {
  return queryOptions({
    queryKey: ['launches', 'count', question],
    queryFn: async ({ signal }) => {
      const query = { ...question, limit: 1, count: true };
      return (await pageOf(client.GET('/api/v1/launches', { signal, params: { query } }))).total ?? '0';
    },
  });
}

/** Users, page by page. `usersQuery` has all of them, for fields that select a user. */
export function userListQuery(question: { q?: string; sort: string }) {
  return pagesOf(['users', 'list', question], (span, signal) =>
    pageOf(client.GET('/api/v1/users', { signal, params: { query: { ...question, ...span } } })),
  );
}

/** How many users match. */
export function userCountQuery(question: { q?: string }) {
  return queryOptions({
    queryKey: ['users', 'count', question],
    queryFn: async ({ signal }) => {
      const query = { ...question, limit: 1, count: true };
      return (await pageOf(client.GET('/api/v1/users', { signal, params: { query } }))).total ?? '0';
    },
  });
}

/** What needs attention, and the facts of the last hours. */
export const todayQuery = queryOptions({
  queryKey: ['today'],
  queryFn: ({ signal }) => dataOf(client.GET('/api/v1/today', { signal })),
  refetchInterval: 10_000,
});

/** The objects that have all words of a text. Earlier hits stay until the next ones arrive. */
export function searchQuery(text: string) {
  return queryOptions({
    queryKey: ['search', text],
    queryFn: ({ signal }) => dataOf(client.GET('/api/v1/search', { signal, params: { query: { q: text } } })),
    enabled: text !== '',
    staleTime: 10_000,
    refetchInterval: false,
    placeholderData: keepPreviousData,
  });
}
