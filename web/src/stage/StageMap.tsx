import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Title, VisuallyHidden } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { memo, useEffect, useId, useMemo, useRef, useState } from 'react';
import { useAllowed, useAllowedEverywhere, useMe } from '../api/auth';
import { managersQuery } from '../api/queries';
import type { StageMap as Answer } from '../api/stageMap';
import type { Me } from '../api/types';
import { addressOf, type ObjectKind } from '../components/objects';
import { ManagerSwitch } from '../pages/admin/infrastructure/ManagerSwitch';
import { Dots } from './Dots';
import {
  agentState,
  agentText,
  coresText,
  fillText,
  hostnamesOf,
  looseText,
  managerState,
  managerText,
  memoryText,
  poolText,
  primaryChanges,
  reasonText,
  zoneFacts,
} from './facts';
import { crownOn, DOOR_BESIDE_PX, layOut, type Rect, type Scene, sizesFor, type ZoneBox } from './layout';
import type { Looks } from './looks';
import { isClosed, managerKey, primaryOf, type Seats, seated, zonesOf, type ZonePart } from './model';
import { AgentPart, Crown, LoosePart, ManagerPart, PoolPart } from './Parts';
import { Pointed, useStageKeys } from './pointing';
import styles from './stage.module.css';
import { useWidth } from './useWidth';

interface Props {
  map: Answer;
  looks: Looks;
  /** The workspace whose sessions are marked; null = all. */
  only?: string | null;
  /** A part of a page: small, and without switches. */
  isCompact?: boolean;
  /** The maximum number of Agents of each zone. */
  mostAgents?: number;
}

/**
 * The stage as a picture: each zone with its Managers, a crown on the Primary, its Agents with their load and the sessions
 * of users, and its stage door with the staged sessions.
 *
 * Managers, Agents and pools are links. Tab reaches one of them, arrows move to the nearest one, and the space key enters
 * its sessions.
 */
export const StageMap = memo(function StageMap({
  map,
  looks,
  only = null,
  isCompact = false,
  mostAgents = Infinity,
}: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const width = useWidth(frame);
  const keysId = useId();
  const zones = useMemo(() => zonesOf(map, mostAgents), [map, mostAgents]);
  const seats = useSeats(zones);
  const scene = useMemo(
    () => layOut(zones, seats, width, sizesFor(zones, isCompact)),
    [zones, seats, width, isCompact],
  );
  const hostnames = useMemo(() => hostnamesOf(zones), [zones]);
  const keys = useStageKeys(frame, scene);
  return (
    <>
      <Announcements zones={zones} />
      <div
        ref={frame}
        className={styles.map}
        data-size={isCompact ? 'compact' : scene.sizes.hasNumbers ? 'large' : 'dense'}
        data-door={width >= DOOR_BESIDE_PX ? 'beside' : 'below'}
        role="group"
        aria-label={t`Stage map`}
        aria-describedby={keysId}
        style={{ height: scene.height }}
        onKeyDown={keys.onKeyDown}
        onFocus={keys.onFocus}
        onBlur={keys.onBlur}
      >
        {width > 0 && (
          <>
            {scene.zones.map((zone) => (
              <Zone
                key={zone.part.zone.zone_id}
                box={zone}
                scene={scene}
                current={keys.current}
                isCompact={isCompact}
              />
            ))}
            <Dots scene={scene} looks={looks} only={only} />
            <Pointed frame={frame} scene={scene} entered={keys.entered} hostnames={hostnames} />
          </>
        )}
      </div>
      <p id={keysId} className={styles.keys}>
        <Trans>
          Arrow keys move between Managers, Agents and pools. Enter opens the object. The space key enters its sessions,
          and Escape leaves them.
        </Trans>
      </p>
    </>
  );
});

/** The seats of the sessions, which depend on the seats before. */
function useSeats(zones: ZonePart[]): Seats {
  const before = useRef<Seats>(new Map());
  const seats = useMemo(() => seated(before.current, zones), [zones]);
  useEffect(() => {
    before.current = seats;
  }, [seats]);
  return seats;
}

/** Says for screen readers which Manager became Primary. */
function Announcements({ zones }: { zones: ZonePart[] }) {
  const before = useRef(zones);
  const [said, setSaid] = useState('');
  useEffect(() => {
    const changes = primaryChanges(before.current, zones);
    before.current = zones;
    if (changes.length > 0) setSaid(changes.join(' '));
  }, [zones]);
  return <VisuallyHidden role="status">{said}</VisuallyHidden>;
}

interface ZoneProps {
  box: ZoneBox;
  scene: Scene;
  /** The key of the object that Tab reaches. */
  current: string | null;
  isCompact: boolean;
}

function Zone({ box, scene, current, isCompact }: ZoneProps) {
  const id = useId();
  const me = useMe();
  const allowed = useAllowed();
  const allowedEverywhere = useAllowedEverywhere();
  const { part, door, note } = box;
  const { zone, managers, agents, pools, loose, looseKey } = part;
  const { zone_name: name } = zone;
  const { hasNumbers } = scene.sizes;
  const common = (key: string) => ({ ...rectAt(scene, key), name: key, isCurrent: key === current });
  const facts = zoneFacts(part);
  // The scope of a role may leave out the Managers or the Agents of a zone whose sessions it contains.
  const seesManagers = managers.length > 0 || allowedEverywhere('managers_view');
  const seesAgents = allowedEverywhere('agents_view');
  return (
    <section aria-labelledby={id} className={styles.zone}>
      <div className={styles.zoneHead} style={{ top: box.y, width: box.width }}>
        <Title order={isCompact ? 3 : 2} size="h3" id={id}>
          <Trans>Zone {name}</Trans>
        </Title>
        <span className={styles.facts}>
          {seesManagers && !primaryOf(part) && (
            <strong className={styles.alarm}>
              <Trans>No Primary</Trans>
            </strong>
          )}
          {facts.map((fact) => (
            <span key={fact}>{fact}</span>
          ))}
        </span>
      </div>
      {managers.length > 0 && (
        <ul aria-label={t`Managers of zone ${name}`} className={styles.list}>
          {managers.map(({ key, manager }) => (
            <ManagerPart
              key={key}
              {...common(key)}
              to={address(me, 'manager', manager.manager_id)}
              text={managerText(manager)}
              title={manager.instance_id}
              state={managerState(manager)}
              hasProblem={manager.enabled && !manager.running}
              control={!isCompact && allowed('managers_modify') && <Control managerId={manager.manager_id} />}
            />
          ))}
        </ul>
      )}
      <CrownOf part={part} scene={scene} />
      {agents.length + loose.length > 0 ? (
        <ul aria-label={t`Agents of zone ${name}`} className={styles.list}>
          {agents.map((each) => (
            <AgentPart
              key={each.key}
              {...common(each.key)}
              to={address(me, 'agent', each.agent.agent_id)}
              text={agentText(each)}
              title={each.agent.hostname}
              state={isClosed(each.agent) ? agentState(each.agent) : ''}
              hasProblem={
                each.agent.status !== 'running' ||
                each.agent.status_reason !== null ||
                each.agent.closed?.code === 'disk'
              }
              cores={share(each.agent.cores_allocated, each.agent.cores)}
              memory={share(each.agent.memory_allocated, each.agent.memory)}
              coresText={hasNumbers ? coresText(each.agent) : ''}
              memoryText={hasNumbers ? memoryText(each.agent) : ''}
            />
          ))}
          {loose.length > 0 && (
            <LoosePart
              {...common(looseKey)}
              to={null}
              text={looseText(part)}
              title={loose.every(({ agent_id }) => agent_id === null) ? t`Without an Agent` : t`Sessions`}
              state=""
              hasProblem={false}
            />
          )}
        </ul>
      ) : (
        seesAgents &&
        note && (
          <p className={styles.nothing} style={{ left: note.x, top: note.y }}>
            <Trans>No Agent in this zone.</Trans>
          </p>
        )
      )}
      {door && (
        <div className={styles.door} style={{ left: door.x, top: door.y, width: door.width, height: door.height }}>
          <p className={styles.doorTitle}>
            <Trans>Pools</Trans>
          </p>
        </div>
      )}
      {door && (
        <ul aria-label={t`Pools of zone ${name}`} className={styles.list}>
          {pools.map((each) => (
            <PoolPart
              key={each.key}
              {...common(each.key)}
              to={each.pool && address(me, 'staging_config', each.pool.staging_config_id)}
              text={poolText(each)}
              title={each.name}
              state=""
              hasProblem={(each.pool?.shortfall ?? each.pool?.refill_problem)?.needs_action ?? false}
              fill={fillText(each)}
              reason={reasonText(each)}
            />
          ))}
        </ul>
      )}
    </section>
  );
}

/** The crown on the Primary. Without a Primary, it stays on the last one, faded, until the next one takes it. */
function CrownOf({ part, scene }: { part: ZonePart; scene: Scene }) {
  const primary = primaryOf(part);
  const last = useRef<string | null>(null);
  const key = primary ? managerKey(primary.manager_id) : last.current;
  useEffect(() => {
    last.current = key;
  }, [key]);
  const rect = key === null ? undefined : scene.rects.get(key);
  return rect ? <Crown {...crownOn(rect)} zone={part.zone.zone_name} isLost={!primary} /> : null;
}

/** The switch of a Manager. */
function Control({ managerId }: { managerId: string }) {
  const manager = useQuery(managersQuery).data?.find((each) => each.manager_id === managerId);
  return manager ? (
    <span className={styles.control}>
      <ManagerSwitch manager={manager} />
    </span>
  ) : null;
}

function address(me: Me | null, kind: ObjectKind, id: string): string | null {
  return addressOf({ kind, id }, me);
}

function rectAt(scene: Scene, key: string): Rect {
  return scene.rects.get(key) ?? { x: 0, y: 0, width: 0, height: 0 };
}

function share(used: number, total: number): number {
  return total > 0 ? Math.min(1, used / total) : 0;
}
