/** The requests of "Why?", and the words of a decision. */

import { plural, t } from '@lingui/core/macro';
import { type QueryClient, queryOptions } from '@tanstack/react-query';
import {
  changeAgent,
  changeGroupSettings,
  changeImage,
  changeManager,
  changeStagingConfig,
  changeZone,
} from '../api/actions';
import { client, dataOf } from '../api/client';
import { agentQuery, groupQuery, imageQuery, managerQuery, stagingConfigQuery, zoneQuery } from '../api/queries';
import type { Decision, DecisionStep, DecisiveSetting } from '../api/types';
import { bytes } from '../components/format';
import { amountIn } from '../components/units';
import { settingTitle } from '../components/titles';
import { locale } from '../language';
import type { Subject } from './subject';

/** The decision about a subject. `tried` is a value of the setting to try; undefined = the suggestion of the server. */
export function whyQuery(subject: Subject, tried?: unknown) {
  return queryOptions({
    queryKey: ['why', subject, tried],
    queryFn: ({ signal }): Promise<Decision> => dataOf(requestOf(subject, tried, signal)),
  });
}

function requestOf(subject: Subject, tried: unknown, signal: AbortSignal) {
  if (subject.kind === 'capacity') return client.GET('/api/v1/why/capacity', { signal });
  const { kind, id } = subject;
  switch (kind) {
    case 'launch':
      return client.GET('/api/v1/why/launches/{launch_id}', { signal, params: { path: { launch_id: id } } });
    case 'session':
      return client.GET('/api/v1/why/sessions/{session_id}', { signal, params: { path: { session_id: id } } });
    case 'image':
      return client.GET('/api/v1/why/images/{image_id}', { signal, params: { path: { image_id: id } } });
    case 'permission':
      return client.GET('/api/v1/why/permissions/{code}', { signal, params: { path: { code: id } } });
    case 'pool':
      return client.GET('/api/v1/why/staging-configs/{staging_config_id}', {
        signal,
        params: { path: { staging_config_id: id } },
      });
    case 'agent':
      return client.GET('/api/v1/why/agents/{agent_id}', {
        signal,
        params: { path: { agent_id: id }, query: subject.image ? { image_id: subject.image } : {} },
      });
    case 'manager':
      return client.GET('/api/v1/why/managers/{manager_id}', { signal, params: { path: { manager_id: id } } });
    case 'setting':
      return client.GET('/api/v1/why/users/{user_id}/settings/{setting_name}', {
        signal,
        params: {
          path: { user_id: id, setting_name: subject.name },
          query: tried === undefined ? {} : { value: JSON.stringify(tried) },
        },
      });
  }
}

/** Saves the suggested value. */
export function saveSetting({ object, name, suggested }: DecisiveSetting): Promise<unknown> {
  const body = { [name]: suggested };
  switch (object?.kind) {
    case 'agent':
      return changeAgent(object.id, body);
    case 'group':
      return changeGroupSettings(object.id, body);
    case 'image':
      return changeImage(object.id, body);
    case 'manager':
      return changeManager(object.id, { enabled: suggested === true });
    case 'staging_config':
      return changeStagingConfig(object.id, body);
    case 'zone':
      return changeZone(object.id, body);
    default:
      return Promise.reject(new Error(t`This setting cannot be changed here.`));
  }
}

/** Reads the present value of the setting; null = a group does not set it. */
export async function readSetting(queries: QueryClient, setting: DecisiveSetting): Promise<unknown> {
  const item = await readOwner(queries, setting.object);
  return (item as Record<string, unknown>)[setting.name] ?? null;
}

async function readOwner(queries: QueryClient, object: DecisiveSetting['object']): Promise<object> {
  switch (object?.kind) {
    case 'agent':
      return queries.query(agentQuery(object.id));
    case 'group':
      return (await queries.query(groupQuery(object.id))).settings;
    case 'image':
      return queries.query(imageQuery(object.id));
    case 'manager':
      return queries.query(managerQuery(object.id));
    case 'staging_config':
      return queries.query(stagingConfigQuery(object.id));
    case 'zone':
      return queries.query(zoneQuery(object.id));
    default:
      throw new Error(t`This setting cannot be changed here.`);
  }
}

/** The setting with its former value as the one to save. A default applies again when no group sets the setting. */
export function formerOf(setting: DecisiveSetting): DecisiveSetting {
  return { ...setting, suggested: setting.source === 'default' ? null : setting.value };
}

/** The queries that a saved setting makes out of date. */
export const TOUCHED = ['why', 'agents', 'groups', 'images', 'managers', 'staging-configs', 'users', 'zones', 'today'];

const SOURCES: Record<DecisiveSetting['source'], string> = {
  own: t`set here`,
  group: t`set for a group`,
  global: t`set for all users`,
  default: t`default, no group sets it`,
};

export function sourceOf({ source }: Pick<DecisiveSetting, 'source'>): string {
  return SOURCES[source];
}

/** The title of the setting. Group settings have titles in the console only. */
export function titleOf({ title, name }: Pick<DecisiveSetting, 'title' | 'name'>): string {
  return title || settingTitle(name);
}

export function valueText(value: DecisiveSetting['value'], unit: string): string {
  if (value === null) return t({ message: 'none', context: 'value of a setting' });
  if (typeof value === 'boolean') return value ? t`yes` : t`no`;
  if (typeof value === 'string') return value || t({ message: 'nothing', context: 'value of a setting' });
  if (unit === 'bytes') return bytes(value);
  return unit ? amountIn(value, unit) : String(value);
}

/** The users, pools and workspaces that the setting affects, in one sentence; empty if it was not counted. */
export function affectedText({ users, pools, workspaces }: DecisiveSetting['affected']): string {
  const parts = [
    users === null ? null : plural(users, { one: '# user', other: '# users' }),
    pools === null ? null : plural(pools, { one: '# pool', other: '# pools' }),
    workspaces === null ? null : plural(workspaces, { one: '# workspace', other: '# workspaces' }),
  ].filter((part): part is string => part !== null);
  if (parts.length === 0) return '';
  const counts = new Intl.ListFormat(locale(), { type: 'conjunction' }).format(parts);
  return t`It affects ${counts}.`;
}

/** The name of an input: a title if it is the name of a setting. */
export function factName(name: string): string {
  return /^[a-z]+(_[a-z]+)+$/.test(name) ? settingTitle(name) : name;
}

/** The word for the result of a step. */
export function resultWord({ result, decides }: Pick<DecisionStep, 'result' | 'decides'>): string {
  if (result === 'unreached') return t`Not checked`;
  if (decides) return result === 'passed' ? t`Passed, and decided` : t`Not passed, and decided`;
  return result === 'passed' ? t`Passed` : t`Not passed`;
}
