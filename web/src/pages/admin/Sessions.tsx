import { Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconDeviceDesktop, IconPlayerPlay, IconTrash } from '@tabler/icons-react';
import { Link } from 'react-router';
import { meQuery, useAllowed } from '../../api/auth';
import { deleteSession, sessionsQuery } from '../../api/queries';
import type { Session } from '../../api/types';
import { Confirm } from '../../components/ConfirmButton';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { counted } from '../../components/format';
import { PageHeader } from '../../components/PageHeader';
import { RowButton } from '../../components/RowButton';
import { ShortId } from '../../components/ShortId';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';
import { useAction } from '../../components/useAction';

/** Sessions of everybody; staged ones have no user until they are assigned. */
export function Sessions() {
  const sessions = useQuery(sessionsQuery);
  const columns: Column<Session>[] = [
    { key: 'user', title: 'User', value: (row) => row.username ?? '', render: (row) => <Owner session={row} /> },
    { key: 'workspace', title: 'Workspace', value: (row) => row.image_friendly_name },
    {
      key: 'id',
      title: 'Session ID',
      value: (row) => row.session_id,
      render: (row) => <ShortId id={row.session_id} />,
    },
    {
      key: 'status',
      title: 'Status',
      value: (row) => row.status,
      render: (row) => <StatusBadge status={row.status} />,
    },
    {
      key: 'origin',
      title: 'Origin',
      value: (row) => (row.staging_config_id ? 'staged' : 'on demand'),
      render: (row) => <span className="nowrap">{row.staging_config_id ? 'staged' : 'on demand'}</span>,
    },
    { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
    {
      key: 'agent',
      title: 'Agent',
      value: (row) => `${row.hostname ?? ''} ${row.agent_id ?? ''}`,
      render: (row) => row.hostname ?? '–',
    },
    { key: 'created', title: 'Created', value: (row) => row.created, render: (row) => <TimeAgo time={row.created} /> },
    {
      key: 'assigned',
      title: 'Assigned',
      value: (row) => row.assigned,
      render: (row) => <TimeAgo time={row.assigned} />,
    },
    {
      key: 'expires',
      title: 'Expires',
      value: (row) => row.expires,
      render: (row) => <TimeAgo time={row.expires} none="never" />,
    },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => <Actions session={row} />,
    },
  ];
  const staged = (sessions.data ?? []).filter((row) => !row.user_id).length;
  return (
    <>
      <PageHeader title="Sessions">
        {sessions.data
          ? `${counted(sessions.data.length - staged, 'session')} in use, ${staged} staged and waiting for a user`
          : 'Sessions of all users'}
      </PageHeader>
      <DataTable
        caption="Sessions"
        query={sessions}
        columns={columns}
        rowKey={(row) => row.session_id}
        sort="-created"
        minWidth={1040}
        empty={
          <EmptyState icon={IconDeviceDesktop} title="No sessions">
            A session appears here when a user launches a workspace, or when{' '}
            <Text component={Link} to="/admin/staging" inherit td="underline" c="var(--mantine-color-anchor)">
              Staging
            </Text>{' '}
            prepares one.
          </EmptyState>
        }
      />
    </>
  );
}

function Owner({ session }: { session: Session }) {
  if (session.username)
    return (
      <Text size="sm" fw={600}>
        {session.username}
      </Text>
    );
  return (
    <Text size="sm" c="dimmed" fs="italic">
      {session.staging_config_id ? 'staged, no user yet' : '–'}
    </Text>
  );
}

function Actions({ session }: { session: Session }) {
  const { data: me } = useQuery(meQuery);
  const allowed = useAllowed();
  const remove = useAction(deleteSession, ['sessions', 'staging-configs'], 'The session was not deleted');
  const leaving = session.status === 'deleting';
  const whose = session.username
    ? `${session.username}’s ${session.image_friendly_name}`
    : `this staged ${session.image_friendly_name}`;
  return (
    <Group gap={2} justify="flex-end" wrap="nowrap">
      {session.user_id === me?.user.user_id && session.user_id && (
        <RowButton label={`Open ${session.session_id}`} icon={IconPlayerPlay} to={`/session/${session.session_id}`} />
      )}
      {allowed('sessions_delete') && (
        <Confirm
          title={`Delete ${whose}?`}
          action="Delete"
          onConfirm={() => remove.mutateAsync(session.session_id)}
          trigger={(open) => (
            <RowButton label={`Delete ${session.session_id}`} icon={IconTrash} onClick={open} disabled={leaving} />
          )}
        >
          {session.username
            ? `The session in zone ${session.zone_name} ends, and everything in it that was not saved elsewhere is lost.`
            : 'The pool replaces it by a new one.'}
        </Confirm>
      )}
    </Group>
  );
}
