import { Text } from '@mantine/core';
import { IconUser } from '@tabler/icons-react';
import { Link } from 'react-router';
import { userCountQuery, userListQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { usePages } from '../../../components/usePages';
import { stateOf } from './states';
import { UserActions } from './UserActions';
import { CreateUser } from './UserForm';

const COLUMNS: Column<User>[] = [
  {
    key: 'username',
    title: 'Username',
    value: (row) => row.username,
    render: (row) => (
      <RowLink to={`/admin/users/${row.user_id}`} note={row.anonymous && 'anonymous, leaves with the last session'}>
        {row.username}
      </RowLink>
    ),
  },
  { key: 'name', title: 'Name', value: (row) => `${row.first_name} ${row.last_name}`.trim() },
  { key: 'groups', title: 'Groups', value: (row) => row.groups.map((group) => group.name).join(', ') },
  { key: 'status', title: 'Status', value: stateOf, render: (row) => <StatusBadge status={stateOf(row)} /> },
  {
    key: 'sessions',
    title: 'Sessions',
    value: (row) => row.num_sessions,
    render: (row) => (
      <Text
        component={Link}
        size="sm"
        className="number"
        c="var(--mantine-color-anchor)"
        to={`/admin/sessions?q=${encodeURIComponent(`user:${row.username}`)}`}
      >
        {row.num_sessions}
      </Text>
    ),
  },
  {
    key: 'last',
    title: 'Last Log-in',
    value: (row) => row.last_session,
    render: (row) => <TimeAgo time={row.last_session} none="never" />,
  },
  { key: 'created', title: 'Created', value: (row) => row.created, render: (row) => <TimeAgo time={row.created} /> },
  { key: 'actions', title: 'Actions', hideTitle: true, align: 'right', render: (row) => <UserActions user={row} /> },
];

const rowKey = (row: User) => row.user_id;

/** Who may log in. */
export function Users() {
  const users = usePages({ sort: 'username', pages: userListQuery, count: userCountQuery });
  return (
    <>
      <PageHeader title="Users" actions={<CreateUser />}>
        Everybody is in group All Users; further groups give permissions and workspaces.
      </PageHeader>
      <DataTable
        caption="Users"
        {...users}
        columns={COLUMNS}
        rowKey={rowKey}
        minWidth={960}
        empty={<EmptyState icon={IconUser} title="No users" />}
      />
    </>
  );
}
