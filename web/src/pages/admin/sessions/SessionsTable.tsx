import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { SegmentedControl, Text } from '@mantine/core';
import { IconDeviceDesktop } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { sessionCountQuery, sessionListQuery, type SessionQuestion } from '../../../api/sessionList';
import type { Session } from '../../../api/types';
import { useAddress } from '../../../components/address';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { Cut } from '../../../components/Cut';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { bitRate, bytesShort, trimmed } from '../../../components/format';
import { RowLink } from '../../../components/RowLink';
import { ShortId } from '../../../components/ShortId';
import { StatusBadge } from '../../../components/StatusBadge';
import { usePages } from '../../../components/usePages';
import { BULK_SESSIONS } from './bulkSessions';
import { Expiry } from './Expiry';
import { KIND_TITLES, kindOf, KINDS, ownerOf, QUESTIONS } from './kinds';
import { RowActions } from './RowActions';
import { SharedRowMenu } from './SharedRowMenu';

const COLUMNS: Column<Session>[] = [
  { key: 'user', title: t`User`, value: ownerOf, render: (row) => <Owner session={row} /> },
  {
    key: 'workspace',
    title: t`Workspace`,
    rank: 'main',
    value: (row) => `${row.image_friendly_name} ${originOf(row)}`,
    text: (row) => row.image_friendly_name,
    render: (row) => (
      <RowLink to={`/admin/sessions/${row.session_id}`} note={<Origin session={row} />}>
        {row.image_friendly_name}
      </RowLink>
    ),
  },
  {
    key: 'id',
    title: t`Session ID`,
    value: (row) => row.session_id,
    render: (row) => <ShortId id={row.session_id} />,
  },
  {
    key: 'status',
    title: t`Status`,
    value: (row) => row.status,
    render: (row) => <Status session={row} />,
  },
  { key: 'zone', title: t`Zone`, optional: true, value: (row) => row.zone_name },
  {
    key: 'agent',
    title: t`Agent`,
    value: (row) => `${row.hostname ?? ''} ${row.agent_id ?? ''}`,
    text: (row) => row.hostname,
    render: (row) => <Cut at="start">{row.hostname ?? '–'}</Cut>,
  },
  measuredColumn(
    'cpu',
    t`CPU`,
    (row) => row.cpu_used,
    (used) => `${Math.round(used * 100)} %`,
  ),
  measuredColumn('memory', t({ message: 'Memory', context: 'column' }), (row) => row.memory_used, bytesShort),
  measuredColumn(
    'latency',
    t`Latency`,
    (row) => row.round_trip_ms,
    (ms) => `${Math.round(ms)} ms`,
  ),
  { ...measuredColumn('frames', t`Frames/s`, (row) => row.frames_s, trimmed), optional: true },
  { ...measuredColumn('received', t`Received`, (row) => row.kbit_s, bitRate), optional: true },
  { key: 'client', title: t`Client`, optional: true, unordered: true, value: (row) => row.client_address },
  { ...timeColumn<Session>('created', t`Created`, (row) => row.created), minWidth: 102 },
  {
    key: 'expires',
    title: t`Expires`,
    uncompleted: true,
    value: (row) => row.expires,
    minWidth: 108,
    render: (row) => <Expiry session={row} />,
  },
  { ...actionsColumn<Session>((row) => <RowActions session={row} />), minWidth: 102 },
];

/** A measured value of a running session. The server cannot filter by it. */
function measuredColumn(
  key: string,
  title: string,
  measured: (row: Session) => number | null,
  format: (value: number) => string,
): Column<Session> {
  const value = (row: Session) => (row.status === 'running' ? measured(row) : null);
  return {
    key,
    title,
    align: 'right',
    minWidth: 58,
    highestFirst: true,
    uncompleted: true,
    value,
    render: (row) => {
      const now = value(row);
      return now == null ? '–' : <span className="number nowrap">{format(now)}</span>;
    },
  };
}

interface Props {
  /** A condition. Without it, all sessions are shown. */
  of?: Pick<SessionQuestion, 'agent_id' | 'user_id' | 'image_id'>;
}

/** Sessions with their actions. Staged sessions have no user until they are assigned. */
export function SessionsTable({ of = {} }: Props) {
  const address = useAddress();
  const kind = KINDS.find((each) => each === address.get('kind'));
  const which = { ...of, ...(kind ? QUESTIONS[kind] : {}) };
  const list = usePages({
    sort: '-created',
    pages: (asked) => sessionListQuery({ ...which, ...asked }),
    count: (asked) => sessionCountQuery({ ...which, ...asked }),
  });
  return (
    <SharedRowMenu>
      <DataTable
        caption={t`Sessions`}
        list="sessions"
        {...list}
        columns={COLUMNS}
        rowKey={rowKey}
        tools={
          <SegmentedControl
            size="xs"
            aria-label={t`Kind of session`}
            data={[{ value: 'all', label: t`All` }, ...KINDS.map((value) => ({ value, label: KIND_TITLES[value] }))]}
            value={kind ?? 'all'}
            onChange={(value) => address.set({ kind: value === 'all' ? '' : value })}
          />
        }
        bulk={BULK_SESSIONS}
        empty={
          <EmptyState icon={IconDeviceDesktop} title={kind ? t`No matching sessions` : t`No sessions`}>
            {kind === 'quarantined' ? (
              t`A staged session is quarantined if its hand-over to a user failed. It is kept for inspection.`
            ) : (
              <Trans>
                A session appears here when a user launches a workspace, or when{' '}
                <Text component={Link} to="/admin/staging" inherit td="underline" c="var(--mantine-color-anchor)">
                  Staging
                </Text>{' '}
                starts a session for a pool.
              </Trans>
            )}
          </EmptyState>
        }
      />
    </SharedRowMenu>
  );
}

const rowKey = (row: Session) => row.session_id;

function originOf({ staging_config_id }: Session): string {
  return staging_config_id ? t`staged` : t`on demand`;
}

/** The origin of a session. That of a staged session links to its staging config. */
function Origin({ session }: { session: Session }) {
  const allowed = useAllowed()('staging_view');
  if (!allowed || !session.staging_config_id) return originOf(session);
  return (
    <Link
      to={`/admin/staging/${session.staging_config_id}`}
      className="row-note-link mantine-focus-auto"
      data-whole
      data-staged={session.user_id === null || undefined}
    >
      {session.user_id ? t`was staged` : t`staged`}
    </Link>
  );
}

/** The status of a session, with the reason for a quarantine. */
function Status({ session }: { session: Session }) {
  return (
    <StatusBadge status={session.status} staged={kindOf(session) === 'staged'} reason={session.set_aside_reason} />
  );
}

function Owner({ session }: { session: Session }) {
  const allowed = useAllowed()('users_view');
  if (session.username && session.user_id)
    return allowed ? (
      <RowLink to={`/admin/users/${session.user_id}`}>{session.username}</RowLink>
    ) : (
      <Cut>{session.username}</Cut>
    );
  return <em className="dimmed nowrap">{ownerOf(session)}</em>;
}
