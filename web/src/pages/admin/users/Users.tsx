import { userCountQuery, userListQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { RowLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { usePages } from '../../../components/usePages';
import { useBulkUsers } from './bulkUsers';
import { stateOf } from './states';
import { UserActions } from './UserActions';
import { CreateUser } from './UserForm';

const COLUMNS: Column<User>[] = [
  {
    key: 'username',
    title: 'Username',
    value: (row) => row.username,
    render: (row) => (
      <RowLink to={`/admin/users/${row.user_id}`} note={row.anonymous && 'anonymous, deleted after the last session'}>
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
      <Amount to={`/admin/sessions?q=${encodeURIComponent(`user:${row.username}`)}`}>{row.num_sessions}</Amount>
    ),
  },
  timeColumn('last', 'Last Log-in', (row) => row.last_session, 'never'),
  timeColumn('created', 'Created', (row) => row.created),
  actionsColumn((row) => <UserActions user={row} />),
];

const rowKey = (row: User) => row.user_id;

/** People → Users. */
export function Users() {
  const users = usePages({ sort: 'username', pages: userListQuery, count: userCountQuery });
  return (
    <ResourcePage
      note="Every user is in group All Users. Other groups add permissions and workspaces."
      {...users}
      columns={COLUMNS}
      rowKey={rowKey}
      minWidth={960}
      bulk={useBulkUsers()}
      empty="No users"
      form={(_, close) => <CreateUser onClose={close} />}
    />
  );
}
