import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconStack2 } from '@tabler/icons-react';
import { poolSessionsQuery } from '../../../api/queries';
import { sessionCountQuery } from '../../../api/sessionList';
import type { Session } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { milliseconds, shortId } from '../../../components/format';
import { RowLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { kindOf } from '../sessions/kinds';
import { RowActions } from '../sessions/RowActions';
import { SharedRowMenu } from '../sessions/SharedRowMenu';

const COLUMNS: Column<Session>[] = [
  {
    key: 'session',
    title: t`Session ID`,
    value: (row) => row.session_id,
    render: (row) => <RowLink to={`/admin/sessions/${row.session_id}`}>{shortId(row.session_id)}</RowLink>,
  },
  {
    key: 'state',
    title: t`Status`,
    value: stateOf,
    render: (row) => <StatusBadge status={stateOf(row)} staged={kindOf(row) === 'staged'} />,
  },
  { key: 'agent', title: t`Agent`, value: (row) => row.hostname },
  timeColumn('created', t`Created`, (row) => row.created),
  {
    key: 'took',
    title: t`Start duration`,
    value: startOf,
    align: 'right',
    render: (row) => <StartTime session={row} />,
  },
  { key: 'expires', title: t`Expires`, value: endOf, render: (row) => <TimeAgo time={endOf(row)} /> },
  {
    key: 'note',
    title: t`Note`,
    value: noteOf,
    width: '30%',
    render: (row) => (
      <Text size="sm" className="anywhere">
        {noteOf(row) ?? '–'}
      </Text>
    ),
  },
  actionsColumn((row) => <RowActions session={row} />),
];

/** The sessions of a pool without a user: staged sessions, and sessions quarantined for inspection. */
export function PoolSessions({ configId }: { configId: string }) {
  const sessions = useQuery(poolSessionsQuery(configId, false));
  const quarantined = useQuery(poolSessionsQuery(configId, true));
  const own = sessions.data && eachOnce(quarantined.data ?? [], sessions.data);
  const withUser = useQuery(sessionCountQuery({ staging_config_id: configId, staged: false })).data ?? '0';
  return (
    <Stack gap="xs">
      <Title order={2} fz={18}>
        <Trans>Staged sessions</Trans>
      </Title>
      {withUser !== '0' && (
        <Text size="sm" c="dimmed">
          {plural(
            { number: Number.parseInt(withUser) },
            {
              one: `${withUser} session of this pool has a user.`,
              other: `${withUser} sessions of this pool have a user.`,
            },
          )}
        </Text>
      )}
      <SharedRowMenu>
        <DataTable
          caption={t`Staged sessions`}
          list="staged-sessions"
          name="staged"
          query={{
            data: own,
            error: sessions.error ?? quarantined.error,
          }}
          columns={COLUMNS}
          rowKey={(row) => row.session_id}
          sort="created"
          minWidth={900}
          empty={<EmptyState icon={IconStack2} title={t`No session is staged at the moment`} />}
        />
      </SharedRowMenu>
    </Stack>
  );
}

/** Both lists as one. They are fetched one after the other, so a session that is being quarantined may be in both. */
function eachOnce(quarantined: Session[], sessions: Session[]): Session[] {
  const ids = new Set(quarantined.map(({ session_id }) => session_id));
  return [...quarantined, ...sessions.filter(({ session_id }) => !ids.has(session_id))];
}

function stateOf(session: Session): string {
  if (kindOf(session) === 'quarantined') return 'quarantined';
  return session.claimable ? 'ready' : session.status;
}

/** The time when the pool replaces the session. A quarantined session stays until newer ones displace it or a user deletes it. */
function endOf(session: Session): string | null {
  return kindOf(session) === 'staged' ? session.expires : null;
}

/** The reason for the quarantine or the failure, or the session that this session will replace. */
function noteOf({ set_aside_reason, error, replaces, claimable }: Session): string | null {
  const isComing = replaces !== null && !claimable;
  return set_aside_reason ?? error ?? (isComing ? t`Will replace session ${{ session: shortId(replaces) }}` : null);
}

/** Milliseconds from its creation until it was usable. */
function startOf({ created, started }: Session): number | null {
  return started ? Date.parse(started) - Date.parse(created) : null;
}

function StartTime({ session }: { session: Session }) {
  const took = startOf(session);
  return <Amount>{took === null ? '–' : milliseconds(took)}</Amount>;
}
