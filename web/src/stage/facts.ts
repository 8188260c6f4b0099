/** The words of the stage map: names for screen readers and hints, announcements, and the rows of the table. */

import type { StageAgent, StageManager, StageSession } from '../api/stageMap';
import { bytes, cores, counted } from '../components/format';
import { type AgentPart, type PoolPart, primaryOf, type ZonePart } from './model';

/** The state of a Manager in one word. */
export function managerState({ enabled, running, is_primary }: StageManager): string {
  if (is_primary) return 'Primary';
  if (!enabled) return 'disabled';
  return running ? 'running' : 'unknown';
}

export function managerText(manager: StageManager): string {
  return `Manager ${manager.instance_id}: ${managerState(manager)}.`;
}

/** The state of an Agent in one word. */
export function agentState({ status, enabled, draining }: StageAgent): string {
  if (status !== 'running') return status;
  if (!enabled) return 'disabled';
  return draining ? 'draining' : 'running';
}

export function coresText({ cores_allocated, cores: all }: StageAgent): string {
  return `${cores(cores_allocated)} of ${cores(all)} cores`;
}

export function memoryText({ memory_allocated, memory }: StageAgent): string {
  return `${bytes(memory_allocated)} of ${bytes(memory)}`;
}

function sessionsText({ sessions, staged }: AgentPart): string {
  return `${counted(sessions.length, 'session of a user', 'sessions of users')}, ${staged} staged`;
}

export function agentText(part: AgentPart): string {
  const { agent } = part;
  const load = `${coresText(agent)} and ${memoryText(agent)} memory are reserved.`;
  const problem = agent.status_reason ? ` ${agent.status_reason}` : '';
  return `Agent ${agent.hostname}: ${agentState(agent)}. ${load} ${sessionsText(part)}.${problem}`;
}

/** The fill level of a pool: "2 of 4", or the number of sessions if the user may not see the pool. */
export function fillText({ pool, sessions }: PoolPart): string {
  if (!pool) return String(sessions.length);
  return pool.paused ? 'paused' : `${pool.current} of ${pool.desired}`;
}

/** Why a pool is short, as a sentence; empty = it is not short. */
export function reasonText({ pool }: PoolPart): string {
  return pool?.shortfall ? sentence(pool.shortfall.reason) : '';
}

export function poolText(part: PoolPart): string {
  const { name, pool, sessions } = part;
  if (!pool) return `${name}: ${counted(sessions.length, 'staged session')}.`;
  if (pool.paused) return `Pool ${name}: it is paused.`;
  return `Pool ${name}: ${pool.current} of ${counted(pool.desired, 'session')} ready. ${reasonText(part)}`.trim();
}

export function looseText({ loose }: ZonePart): string {
  return `${counted(loose.length, 'session')} without a shown Agent.`;
}

/** The name of a session. `hostname` is null if its Agent is not shown. */
export function sessionText({ username, image_friendly_name, status }: StageSession, hostname: string | null): string {
  if (username === null)
    return hostname === null
      ? `Staged session: ${image_friendly_name}, ${status}.`
      : `Staged session: ${image_friendly_name}, ${status}, on ${hostname}.`;
  return hostname === null
    ? `Session of ${username}: ${image_friendly_name}, ${status}.`
    : `Session of ${username}: ${image_friendly_name}, ${status}, on ${hostname}.`;
}

/** The facts of a zone in its heading. A part that the user may not see is left out. */
export function zoneFacts(part: ZonePart): string[] {
  const { pools, loose } = part;
  const agents = [...part.agents, ...part.hidden];
  const shown = agents.reduce((sum, { sessions }) => sum + sessions.length, loose.length);
  const total = (of: (agent: StageAgent) => number) => agents.reduce((sum, { agent }) => sum + of(agent), 0);
  const staged = pools.reduce((sum, { sessions }) => sum + sessions.length, 0);
  return [
    agents.length > 0 &&
      `${cores(total((agent) => agent.cores_allocated))} of ${cores(total((agent) => agent.cores))} cores reserved`,
    shown > 0 && counted(shown, 'session of a user', 'sessions of users'),
    staged > 0 && `${staged} staged`,
    part.hidden.length > 0 && `${counted(part.hidden.length, 'Agent is', 'Agents are')} not shown`,
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
      ? [`Manager ${now.instance_id} is now Primary of zone ${zone_name}.`]
      : [`Zone ${zone_name} has no Primary.`];
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

const OBJECTS = { manager: 'Manager', agent: 'Agent', staging_config: 'Pool', session: 'Session' };

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
        object: session.username === null ? 'Staged session' : 'Session',
        name: session.username ?? session.session_id,
        status: session.status,
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
          note: each.agent.status_reason ?? '',
        }),
      ),
      ...part.pools.map((each) => ({
        ...row(each.key, 'staging_config', each.pool?.staging_config_id ?? '', {
          name: each.name,
          status: each.pool ? (each.pool.paused ? 'paused' : `${fillText(each)} ready`) : 'staged',
          workspace: each.name,
          sessions: counted(each.sessions.length, 'staged session'),
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
