/** The words of the stage map: names for screen readers and hints, announcements, and the rows of the table. */

import { plural, t } from '@lingui/core/macro';
import type { StageAgent, StageManager, StageSession } from '../api/stageMap';
import { bytes, cores } from '../components/format';
import { agentStatus, managerStatus, statusWord } from '../components/StatusBadge';
import { type AgentPart, type PoolPart, primaryOf, type ZonePart } from './model';

/** The state of a Manager in one word. */
export function managerState(manager: StageManager): string {
  return manager.is_primary ? t`Primary` : statusWord(managerStatus(manager));
}

export function managerText(manager: StageManager): string {
  return t`Manager ${{ name: manager.instance_id }}: ${{ state: managerState(manager) }}.`;
}

/** The state of a session in a word. */
function sessionState({ status }: StageSession): string {
  return statusWord(status);
}

/** The state of an Agent in a few words. */
export function agentState(agent: StageAgent): string {
  return statusWord(agentStatus(agent));
}

/** The problem of an Agent, as a sentence; empty = it has none. */
function problemText({ status_reason: problem, closed }: StageAgent): string {
  return problem ?? (closed?.code === 'disk' ? sentence(closed.reason) : '');
}

export function coresText({ cores_allocated, cores: all }: StageAgent): string {
  return t`${{ used: cores(cores_allocated) }} of ${{ all: cores(all) }} cores`;
}

export function memoryText({ memory_allocated, memory }: StageAgent): string {
  return t`${{ used: bytes(memory_allocated) }} of ${{ all: bytes(memory) }}`;
}

function sessionsText({ sessions, staged }: AgentPart): string {
  const count = sessions.length;
  return t`${plural(count, { one: '# session of a user', other: '# sessions of users' })}, ${staged} staged`;
}

export function agentText(part: AgentPart): string {
  const { agent } = part;
  const { hostname } = agent;
  const [state, sessions] = [agentState(agent), sessionsText(part)];
  const [coresUsed, memoryUsed] = [coresText(agent), memoryText(agent)];
  const text = t`Agent ${hostname}: ${state}. ${coresUsed} and ${memoryUsed} memory are reserved. ${sessions}.`;
  return `${text} ${problemText(agent)}`.trim();
}

/** The fill level of a pool: "2 of 4", or the number of sessions if the user may not see the pool. */
export function fillText({ pool, sessions }: PoolPart): string {
  if (!pool) return String(sessions.length);
  return pool.paused ? t`paused` : t`${{ ready: pool.current }} of ${{ desired: pool.desired }}`;
}

/** Why a pool is short, or why its next session cannot start, as a sentence; empty = it has no problem. */
export function reasonText({ pool }: PoolPart): string {
  const problem = pool?.shortfall ?? pool?.refill_problem;
  return problem ? sentence(problem.reason) : '';
}

export function poolText(part: PoolPart): string {
  const { name, pool, sessions } = part;
  const count = sessions.length;
  if (!pool) return t`${name}: ${plural(count, { one: '# staged session', other: '# staged sessions' })}.`;
  if (pool.paused) return t`Pool ${name}: it is paused.`;
  const { current, desired } = pool;
  const text = t`Pool ${name}: ${current} of ${plural(desired, { one: '# session', other: '# sessions' })} ready.`;
  return `${text} ${reasonText(part)}`.trim();
}

export function looseText({ loose }: ZonePart): string {
  const count = loose.length;
  return plural(count, { one: '# session without a shown Agent.', other: '# sessions without a shown Agent.' });
}

/** The name of a session. `hostname` is null if its Agent is not shown. */
export function sessionText(session: StageSession, hostname: string | null): string {
  const { username, image_friendly_name: workspace } = session;
  const state = sessionState(session);
  if (username === null)
    return hostname === null
      ? t`Staged session: ${workspace}, ${state}.`
      : t`Staged session: ${workspace}, ${state}, on ${hostname}.`;
  return hostname === null
    ? t`Session of ${username}: ${workspace}, ${state}.`
    : t`Session of ${username}: ${workspace}, ${state}, on ${hostname}.`;
}

/** The facts of a zone in its heading. A part that the user may not see is left out. */
export function zoneFacts(part: ZonePart): string[] {
  const { pools, loose } = part;
  const agents = [...part.agents, ...part.hidden];
  const shown = agents.reduce((sum, { sessions }) => sum + sessions.length, loose.length);
  const total = (of: (agent: StageAgent) => number) => agents.reduce((sum, { agent }) => sum + of(agent), 0);
  const staged = pools.reduce((sum, { sessions }) => sum + sessions.length, 0);
  const used = cores(total((agent) => agent.cores_allocated));
  const all = cores(total((agent) => agent.cores));
  const hidden = part.hidden.length;
  return [
    agents.length > 0 && t`${used} of ${all} cores reserved`,
    shown > 0 && plural(shown, { one: '# session of a user', other: '# sessions of users' }),
    staged > 0 && t`${staged} staged`,
    hidden > 0 && plural(hidden, { one: '# Agent is not shown', other: '# Agents are not shown' }),
  ].filter((fact) => fact !== false);
}

/** Sentences about the zones whose Primary changed. */
export function primaryChanges(before: ZonePart[], after: ZonePart[]): string[] {
  return after.flatMap((part) => {
    const { zone_id, zone_name } = part.zone;
    const was = before.find(({ zone }) => zone.zone_id === zone_id);
    const [old, now] = [was && primaryOf(was), primaryOf(part)];
    if (!was || old?.manager_id === now?.manager_id) return [];
    return now
      ? [t`Manager ${{ name: now.instance_id }} is now Primary of zone ${{ zone: zone_name }}.`]
      : [t`Zone ${{ zone: zone_name }} has no Primary.`];
  });
}

/** A row of the table: a Manager, an Agent, a pool or a session. */
export interface FactRow {
  key: string;
  /** The kind and the id of the object, for its address; null = it has no page. */
  kind: 'manager' | 'agent' | 'staging_config' | 'session' | null;
  id: string;
  zone: string;
  object: string;
  name: string;
  status: string;
  workspace: string;
  agent: string;
  cores: string;
  memory: string;
  sessions: string;
  note: string;
}

const OBJECTS = { manager: t`Manager`, agent: t`Agent`, staging_config: t`Pool`, session: t`Session` };

/** The facts of the map as rows, in the order of the map. */
export function rowsOf(zones: ZonePart[]): FactRow[] {
  const hostnames = hostnamesOf(zones);
  return zones.flatMap((part) => {
    const zone = part.zone.zone_name;
    const row = (key: string, kind: NonNullable<FactRow['kind']>, id: string, facts: Partial<FactRow>): FactRow => ({
      ...{ key, kind, id, zone, object: OBJECTS[kind], name: '', status: '' },
      ...{ workspace: '', agent: '', cores: '', memory: '', sessions: '', note: '' },
      ...facts,
    });
    const ofSession = (session: StageSession) =>
      row(session.session_id, 'session', session.session_id, {
        object: session.username === null ? t`Staged session` : t`Session`,
        name: session.username ?? session.session_id,
        status: sessionState(session),
        workspace: session.image_friendly_name,
        agent: hostnames.get(session.agent_id ?? '') ?? '',
      });
    return [
      ...part.managers.map(({ key, manager }) =>
        row(key, 'manager', manager.manager_id, { name: manager.instance_id, status: managerState(manager) }),
      ),
      ...part.agents.map((each) =>
        row(each.key, 'agent', each.agent.agent_id, {
          name: each.agent.hostname,
          status: agentState(each.agent),
          cores: coresText(each.agent),
          memory: memoryText(each.agent),
          sessions: sessionsText(each),
          note: problemText(each.agent),
        }),
      ),
      ...part.pools.map((each) => ({
        ...row(each.key, 'staging_config', each.pool?.staging_config_id ?? '', {
          name: each.name,
          status: poolState(each),
          workspace: each.name,
          sessions: plural({ count: each.sessions.length }, { one: '# staged session', other: '# staged sessions' }),
          note: reasonText(each),
        }),
        ...(each.pool ? {} : { kind: null }),
      })),
      ...part.agents.flatMap(({ sessions }) => sessions.map(ofSession)),
      ...part.loose.map(ofSession),
      ...part.pools.flatMap(({ sessions }) => sessions.map(ofSession)),
    ];
  });
}

/** The state of a pool in words. */
function poolState({ pool }: PoolPart): string {
  if (!pool) return t`staged`;
  return pool.paused ? t`paused` : t`${{ ready: pool.current }} of ${{ desired: pool.desired }} ready`;
}

/** Agent → host name. */
export function hostnamesOf(zones: ZonePart[]): Map<string, string> {
  return new Map(
    zones.flatMap(({ agents, hidden }) =>
      [...agents, ...hidden].map(({ agent }) => [agent.agent_id, agent.hostname] as const),
    ),
  );
}

function sentence(text: string): string {
  const start = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(start) ? start : `${start}.`;
}
