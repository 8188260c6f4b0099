import { ph, plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Title } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { useMe } from '../../../api/auth';
import type { ObjectRef, Today } from '../../../api/types';
import { bytes, cores, milliseconds } from '../../../components/format';
import { Named, NamedSentence } from '../../../components/Named';
import { addressOf } from '../../../components/objects';
import { TimeAgo } from '../../../components/TimeAgo';
import { serverText } from '../../../serverTexts';
import { WhyButton } from '../../../why/WhyButton';
import { actorOf } from '../diagnostics/auditTitles';
import classes from './Today.module.css';

/** Facts of the last hours and of the present, each with a link to its list. A fact that the user may not see is left out. */
export function FactTiles({ today }: { today: Today }) {
  const { primaries, pools, capacity, sessions, launches, changes, next_credential: credential } = today;
  const me = useMe();
  const expiring = sessions
    ? '/admin/sessions?sort=expires'
    : credential && addressOf({ kind: credential.kind, id: credential.object_id }, me);
  return (
    <section aria-labelledby="facts">
      <Title order={2} id="facts" className={classes.heading}>
        <Trans>Now and in the last 24 hours</Trans>
      </Title>
      <div className={classes.tiles}>
        {primaries && (
          <Tile title={t`Primary Managers`} to="/admin/infrastructure/managers">
            {primaries.length === 0 && (
              <p className={classes.note}>
                <Trans>no zones</Trans>
              </p>
            )}
            {primaries.slice(0, 4).map(({ zone_id, zone_name, manager_id, instance_id }) => (
              <p key={zone_id}>
                {manager_id && instance_id ? (
                  <Named object={{ kind: 'manager', id: manager_id }}>{instance_id}</Named>
                ) : (
                  <span className={classes.missing}>
                    <Trans context="Primary Manager">none</Trans>
                  </span>
                )}{' '}
                <span className={classes.note}>
                  <Trans>
                    in <Named object={{ kind: 'zone', id: zone_id }}>{ph({ zone: zone_name })}</Named>
                  </Trans>
                </span>
              </p>
            ))}
            {primaries.length > 4 && (
              <p className={classes.note}>
                <Plural value={{ count: primaries.length - 4 }} one="and # more zone" other="and # more zones" />
              </p>
            )}
          </Tile>
        )}
        {pools && (
          <Tile title={t`Staged sessions ready`} to="/admin/staging">
            <Big>
              <Trans>
                {ph({ ready: pools.current })} <span className={classes.of}>of {ph({ desired: pools.desired })}</span>
              </Trans>
            </Big>
            <p className={classes.note}>{shortText(pools)}</p>
          </Tile>
        )}
        {capacity && (
          <Tile title={t`Free capacity`} to="/admin/infrastructure/agents">
            <Big>
              <Trans>
                {ph({ free: cores(capacity.cores_free) })}{' '}
                <span className={classes.of}>of {ph({ all: cores(capacity.cores) })} cores</span>
              </Trans>
            </Big>
            <p className={classes.note}>
              {capacityText(capacity)} <WhyButton subject={{ kind: 'capacity' }} about={t`the free capacity`} />
            </p>
          </Tile>
        )}
        {sessions && (
          <Tile title={t`Sessions of users`} to="/admin/sessions">
            <Big>{sessions.number}</Big>
            {sessions.oldest ? (
              <p>
                <Trans>
                  <span className={classes.note}>oldest:</span>{' '}
                  <Named object={{ kind: 'session', id: sessions.oldest.session_id }}>
                    {ph({ workspace: sessions.oldest.image_friendly_name })}
                  </Named>{' '}
                  <span className={classes.note}>of</span>{' '}
                  <Named object={{ kind: 'user', id: sessions.oldest.user_id }}>
                    {ph({ user: sessions.oldest.username })}
                  </Named>
                  , <TimeAgo time={sessions.oldest.time} />
                </Trans>
              </p>
            ) : (
              <p className={classes.note}>
                <Trans>no user has a session</Trans>
              </p>
            )}
          </Tile>
        )}
        {launches && (
          <Tile title={t`Slowest launch`} to="/admin/diagnostics/launches">
            {launches.slowest ? (
              <>
                <Big>
                  {milliseconds(launches.slowest.waited_ms)}{' '}
                  <WhyButton
                    subject={{ kind: 'launch', id: launches.slowest.launch_id }}
                    about={t`the slowest launch`}
                  />
                </Big>
                <p>
                  <Trans>
                    <Known kind="image" id={launches.slowest.image_id}>
                      {ph({ workspace: launches.slowest.image_friendly_name ?? t`a deleted workspace` })}
                    </Known>{' '}
                    <span className={classes.note}>for</span>{' '}
                    <Known kind="user" id={launches.slowest.user_id}>
                      {ph({ user: launches.slowest.username ?? t({ message: 'a deleted user', context: 'for' }) })}
                    </Known>
                    , <TimeAgo time={launches.slowest.at} />
                  </Trans>
                </p>
              </>
            ) : (
              <p className={classes.note}>
                <Trans>no launches in 24 hours</Trans>
              </p>
            )}
          </Tile>
        )}
        {launches && (
          <Tile title={t`Refused users`} to="/admin/diagnostics/launches?outcome=failed" wide>
            <Big>{launches.refused}</Big>
            {launches.refused_users.slice(0, 3).map((user) => (
              <div key={user.user_id} className={classes.refused}>
                <p title={user.reason} className={classes.oneLine}>
                  <span className={classes.note}>
                    <TimeAgo time={user.at} />
                  </span>{' '}
                  <Named object={{ kind: 'user', id: user.user_id }}>{user.username}</Named>{' '}
                  <span className={classes.note}>
                    <Named object={{ kind: 'image', id: user.image_id }}>{user.image_friendly_name}</Named>
                  </span>
                </p>
                <WhyButton
                  subject={{ kind: 'launch', id: user.launch_id }}
                  about={t`refusal of ${{ user: user.username }}`}
                />
              </div>
            ))}
            {launches.refused === 0 && (
              <p className={classes.note}>
                <Trans>each launch got a session</Trans>
              </p>
            )}
          </Tile>
        )}
        {expiring && (
          <Tile title={t`Next expiry`} to={expiring}>
            {sessions?.next_expiry && (
              <p>
                <span className={classes.note}>
                  <Trans>session:</Trans>
                </span>{' '}
                <Trans>
                  <Named object={{ kind: 'session', id: sessions.next_expiry.session_id }}>
                    {ph({ workspace: sessions.next_expiry.image_friendly_name })}
                  </Named>{' '}
                  <span className={classes.note}>of</span>{' '}
                  <Named object={{ kind: 'user', id: sessions.next_expiry.user_id }}>
                    {ph({ user: sessions.next_expiry.username })}
                  </Named>
                  , <TimeAgo time={sessions.next_expiry.time} />
                </Trans>
              </p>
            )}
            {credential && (
              <p>
                <span className={classes.note}>{CREDENTIALS[credential.kind]}:</span>{' '}
                <Named object={{ kind: credential.kind, id: credential.object_id }}>{credential.name}</Named>,{' '}
                <TimeAgo time={credential.expires} />
              </p>
            )}
            {!sessions?.next_expiry && !credential && (
              <p className={classes.note}>
                <Trans>nothing expires</Trans>
              </p>
            )}
          </Tile>
        )}
        {changes && (
          <Tile title={t`Changes of the last hour`} to="/admin/diagnostics/audit" wide>
            {changes.newest.length === 0 && (
              <p className={classes.note}>
                <Trans>no changes</Trans>
              </p>
            )}
            {changes.newest.slice(0, 4).map((change) => (
              <ChangeLine key={change.event_id} change={change} />
            ))}
            {changes.number > 4 && (
              <p className={classes.note}>
                <Trans>and {ph({ count: changes.number - 4 })} more</Trans>
              </p>
            )}
          </Tile>
        )}
      </div>
    </section>
  );
}

/** A change, and after it the owner of the API key that made it. */
function ChangeLine({ change }: { change: NonNullable<Today['changes']>['newest'][number] }) {
  const sentence = serverText(change.message);
  const note = change.on_behalf_of_name === null ? '' : actorOf(change).note;
  return (
    <p className={classes.oneLine} title={note ? `${sentence} (${note})` : sentence}>
      <span className={classes.note}>
        <TimeAgo time={change.time} />
      </span>{' '}
      <NamedSentence parts={[{ text: sentence, object: null }]} names={change.names} />
      {note && <span className={classes.note}> · {note}</span>}
    </p>
  );
}

const CREDENTIALS: Record<NonNullable<Today['next_credential']>['kind'], string> = {
  api_key: t`API key`,
  service_account: t`service account`,
  scim_client: t`SCIM client`,
};

function shortText({ short, pools }: NonNullable<Today['pools']>): string {
  if (short > 0) return t`${short} of ${plural(pools, { one: '# pool', other: '# pools' })} with too few sessions`;
  return pools === 0 ? t`no pools yet` : t`no pool is short`;
}

function capacityText({ memory_free, memory, running, agents }: NonNullable<Today['capacity']>): string {
  const [free, all] = [bytes(memory_free), bytes(memory)];
  return t`${free} of ${all} memory, ${running} of ${plural(agents, { one: '# Agent', other: '# Agents' })} running`;
}

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

/** The name of an object; without its id, it was deleted. */
function Known({ kind, id, children }: { kind: ObjectRef['kind']; id: string | null; children: string }) {
  return id === null ? <span>{children}</span> : <Named object={{ kind, id }}>{children}</Named>;
}
