import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { IconFileUpload } from '@tabler/icons-react';
import { Suspense, useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { userCountQuery, userListQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { Amount } from '../../../components/Amount';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { lazily } from '../../../components/lazily';
import { ResourcePage } from '../../../components/ResourcePage';
import { Cut } from '../../../components/Cut';
import type { Column } from '../../../components/tableState';
import { RowLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';
import { usePages } from '../../../components/usePages';
import { useBulkUsers } from './bulkUsers';
import { LastSession } from './LastSession';
import { stateOf } from './states';
import { UserActions } from './UserActions';
import { CreateUser } from './UserForm';

const ImportUsers = lazily<'ImportUsers', { onClose: () => void }>(() => import('./ImportUsers'), 'ImportUsers');

const COLUMNS: Column<User>[] = [
  {
    key: 'username',
    title: t`Username`,
    value: (row) => row.username,
    render: (row) => (
      <RowLink to={`/admin/users/${row.user_id}`} note={row.anonymous && t`anonymous, deleted after the last session`}>
        {row.username}
      </RowLink>
    ),
  },
  { key: 'name', title: t`Name`, value: nameOf, render: (row) => <Cut>{nameOf(row)}</Cut> },
  { key: 'groups', title: t`Groups`, value: groupsOf, render: (row) => <Cut>{groupsOf(row)}</Cut> },
  { key: 'status', title: t`Status`, value: stateOf, render: (row) => <StatusBadge status={stateOf(row)} /> },
  {
    key: 'sessions',
    title: t`Sessions`,
    value: (row) => row.num_sessions,
    render: (row) => (
      <Amount to={`/admin/sessions?q=${encodeURIComponent(`user:${row.username}`)}`}>{row.num_sessions}</Amount>
    ),
  },
  timeColumn('last', t`Last Log-in`, (row) => row.last_session, t`never`),
  {
    key: 'launched',
    title: t`Last Session`,
    optional: true,
    text: (row) => row.last_launched,
    render: (row) => <LastSession user={row} />,
  },
  timeColumn('created', t`Created`, (row) => row.created),
  actionsColumn((row) => <UserActions user={row} />),
];

function nameOf({ first_name, last_name }: User): string {
  return `${first_name} ${last_name}`.trim();
}

function groupsOf({ groups }: User): string {
  return groups.map(({ name }) => name).join(', ');
}

const rowKey = (row: User) => row.user_id;

/** People → Users. */
export function Users() {
  const [isImporting, setImporting] = useState(false);
  const mayImport = useAllowed()('users_create');
  const users = usePages({ sort: 'username', pages: userListQuery, count: userCountQuery });
  return (
    <ResourcePage
      list="users"
      note={t`Every user is in group All Users. Other groups add permissions and workspaces.`}
      {...users}
      columns={COLUMNS}
      rowKey={rowKey}
      bulk={useBulkUsers()}
      empty={t`No users`}
      form={(_, close) => <CreateUser onClose={close} />}
      buttons={
        mayImport && (
          <Button
            key="import"
            variant="default"
            leftSection={<IconFileUpload size={16} aria-hidden />}
            onClick={() => setImporting(true)}
          >
            <Trans context="verb">Import</Trans>
          </Button>
        )
      }
    >
      {isImporting && (
        <Suspense>
          <ImportUsers onClose={() => setImporting(false)} />
        </Suspense>
      )}
    </ResourcePage>
  );
}
