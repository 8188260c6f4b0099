import { Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { useMe } from '../../../api/auth';
import type { ObjectRef, Today } from '../../../api/types';
import { bytes, cores, counted, milliseconds } from '../../../components/format';
import { addressOf } from '../../../components/objects';
import { TimeAgo } from '../../../components/TimeAgo';
import { WhyButton } from '../../../why/WhyButton';
import classes from './Today.module.css';

/** Facts of the last hours and of the present, each with a link to its list. A fact that the user may not see is left out. */
export function FactTiles({ today }: { today: Today }) {
  const { primaries, pools, capacity, sessions, launches, changes, next_credential: credential } = today;
  return (
    <section aria-labelledby="facts">
      <Title order={2} id="facts" className={classes.heading}>
        Now and in the last 24 hours
      </Title>
      <div className={classes.tiles}>
        {primaries && (
          <Tile title="Primary Managers" to="/admin/infrastructure/managers">
            {primaries.length === 0 && <p className={classes.note}>no zones</p>}
            {primaries.slice(0, 4).map(({ zone_id, zone_name, manager_id, instance_id }) => (
              <p key={zone_id}>
                {manager_id && instance_id ? (
                  <Named object={{ kind: 'manager', id: manager_id }}>{instance_id}</Named>
                ) : (
                  <span className={classes.missing}>none</span>
                )}{' '}
                <span className={classes.note}>in {zone_name}</span>
              </p>
            ))}
            {primaries.length > 4 && <p className={classes.note}>and {primaries.length - 4} more zones</p>}
          </Tile>
        )}
        {pools && (
          <Tile title="Staged sessions ready" to="/admin/staging">
            <Big>
              {pools.current} <span className={classes.of}>of {pools.desired}</span>
            </Big>
            <p className={classes.note}>
              {pools.short > 0
                ? `${pools.short} of ${counted(pools.pools, 'pool')} with too few sessions`
                : pools.pools === 0
                  ? 'no pools yet'
                  : 'no pool is short'}
            </p>
          </Tile>
        )}
        {capacity && (
          <Tile title="Free capacity" to="/admin/infrastructure/agents">
            <Big>
              {cores(capacity.cores_free)} <span className={classes.of}>of {cores(capacity.cores)} cores</span>
            </Big>
            <p className={classes.note}>
              {bytes(capacity.memory_free)} of {bytes(capacity.memory)} memory, {capacity.running} of{' '}
              {counted(capacity.agents, 'Agent')} running
            </p>
          </Tile>
        )}
        {sessions && (
          <Tile title="Sessions of users" to="/admin/sessions">
            <Big>{sessions.number}</Big>
            {sessions.oldest ? (
              <p>
                <span className={classes.note}>oldest:</span>{' '}
                <Named object={{ kind: 'session', id: sessions.oldest.session_id }}>{sessions.oldest.username}</Named>,{' '}
                <TimeAgo time={sessions.oldest.time} />
              </p>
            ) : (
              <p className={classes.note}>no user has a session</p>
            )}
          </Tile>
        )}
        {launches && (
          <Tile title="Slowest launch" to="/admin/diagnostics/launches">
            {launches.slowest ? (
              <>
                <Big>
                  {milliseconds(launches.slowest.waited_ms)}{' '}
                  <WhyButton subject={{ kind: 'launch', id: launches.slowest.launch_id }} about="the slowest launch" />
                </Big>
                <p>
                  {launches.slowest.image_friendly_name ?? 'a deleted workspace'}{' '}
                  <span className={classes.note}>for</span> {launches.slowest.username ?? 'a deleted user'},{' '}
                  <TimeAgo time={launches.slowest.at} />
                </p>
              </>
            ) : (
              <p className={classes.note}>no launches in 24 hours</p>
            )}
          </Tile>
        )}
        {launches && (
          <Tile title="Refused users" to="/admin/diagnostics/launches?outcome=failed" wide>
            <Big>{launches.refused}</Big>
            {launches.refused_users.slice(0, 3).map((user) => (
              <p key={user.user_id} title={user.reason} className={classes.oneLine}>
                <Named object={{ kind: 'user', id: user.user_id }}>{user.username}</Named>{' '}
                <span className={classes.note}>{user.image_friendly_name},</span> <TimeAgo time={user.at} />
              </p>
            ))}
            {launches.refused === 0 && <p className={classes.note}>each launch got a session</p>}
          </Tile>
        )}
        {(sessions ?? credential) && (
          <Tile title="Next expiry" to={sessions ? '/admin/sessions?sort=expires' : '/admin/api-keys'}>
            {sessions?.next_expiry && (
              <p>
                <span className={classes.note}>session:</span>{' '}
                <Named object={{ kind: 'session', id: sessions.next_expiry.session_id }}>
                  {sessions.next_expiry.username}
                </Named>
                , <TimeAgo time={sessions.next_expiry.time} />
              </p>
            )}
            {credential && (
              <p>
                <span className={classes.note}>{CREDENTIALS[credential.kind]}:</span>{' '}
                <Named object={{ kind: credential.kind, id: credential.object_id }}>{credential.name}</Named>,{' '}
                <TimeAgo time={credential.expires} />
              </p>
            )}
            {!sessions?.next_expiry && !credential && <p className={classes.note}>nothing expires</p>}
          </Tile>
        )}
        {changes && (
          <Tile title="Changes of the last hour" to="/admin/diagnostics/audit" wide>
            {changes.newest.length === 0 && <p className={classes.note}>no changes</p>}
            {changes.newest.slice(0, 4).map((change) => (
              <p key={change.event_id} className={classes.oneLine} title={change.message}>
                <span className={classes.note}>
                  <TimeAgo time={change.time} />
                </span>{' '}
                {change.message}
              </p>
            ))}
            {changes.number > 4 && <p className={classes.note}>and {changes.number - 4} more</p>}
          </Tile>
        )}
      </div>
    </section>
  );
}

const CREDENTIALS: Record<NonNullable<Today['next_credential']>['kind'], string> = {
  api_key: 'API key',
  service_account: 'service account',
  scim_client: 'SCIM client',
};

interface TileProps {
  title: string;
  /** The address of the list that the fact is about. */
  to: string;
  /** It has the width of two tiles. */
  wide?: boolean;
  children: ReactNode;
}

function Tile({ title, to, wide, children }: TileProps) {
  return (
    <div className={classes.tile} data-wide={wide} role="group" aria-label={title}>
      <h3>
        <Link to={to}>{title}</Link>
      </h3>
      {children}
    </div>
  );
}

function Big({ children }: { children: ReactNode }) {
  return <p className={classes.big}>{children}</p>;
}

/** The name of an object, as a link if the user may open its page. */
function Named({ object, children }: { object: ObjectRef; children: string }) {
  const to = addressOf(object, useMe());
  return to ? <Link to={to}>{children}</Link> : <span>{children}</span>;
}
