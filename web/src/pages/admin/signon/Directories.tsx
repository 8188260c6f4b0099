import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Box, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import {
  changeDirectory,
  deleteDirectory,
  directoriesQuery,
  type Directory,
  testDirectory,
} from '../../../api/directories';
import { enabledColumn, numberColumn } from '../../../components/columns';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { TimeAgo } from '../../../components/TimeAgo';
import { DirectoryForm } from './DirectoryForm';
import { SyncDialog } from './SyncDialog';
import { TestDialog } from './TestDialog';

const COLUMNS: Column<Directory>[] = [
  {
    key: 'title',
    title: t`Directory`,
    value: (row) => `${row.title} ${row.servers.join(' ')}`,
    render: (row) => (
      <RowPanelLink row={row.directory_id} note={row.servers.join(', ')}>
        {row.title}
      </RowPanelLink>
    ),
  },
  numberColumn('users', t`Users`, (row) => row.num_users),
  { key: 'unknown', title: t`Unknown Users`, value: (row) => (row.create_users ? t`are created` : t`are refused`) },
  enabledColumn((row) => <DirectorySwitch directory={row} />),
  {
    key: 'synchronized',
    title: t`Last Synchronization`,
    value: (row) => row.synchronized,
    render: ({ synchronized, sync_problem }) => (
      <Box maw={260} className="anywhere">
        <TimeAgo time={synchronized} none={t`never`} />
        {sync_problem && (
          <Text c="red" fz="xs">
            <Trans>The next synchronization stopped: {sync_problem}</Trans>
          </Text>
        )}
      </Box>
    ),
  },
];

/** People → Directories: the LDAP directories with whose passwords users log in. */
export function Directories() {
  const [tested, setTested] = useState<Directory | null>(null);
  const [synchronized, setSynchronized] = useState<Directory | null>(null);
  const allowed = useAllowed();
  const mayChange = allowed('settings_modify');
  const maySynchronize = mayChange && allowed('users_modify') && allowed('users_view');
  return (
    <ResourcePage
      list="directories"
      note={t`Users log in with their password of an LDAP directory, such as OpenLDAP or Active Directory. Local accounts always remain usable.`}
      query={useQuery(directoriesQuery)}
      columns={COLUMNS}
      rowKey={(directory) => directory.directory_id}
      panelTitle={({ title }) => title}
      sort="title"
      minWidth={1000}
      empty={t`No directories yet`}
      emptyNote={t`You need an account in the directory that may search for users and groups.`}
      create={t`Add Directory`}
      may={() => mayChange}
      form={(directory, close) => <DirectoryForm directory={directory} onClose={close} />}
      editName={(directory) => directory.title}
      actions={(directory) => (
        <>
          {mayChange && <RowAction word="Test" name={directory.title} onClick={() => setTested(directory)} />}
          {maySynchronize && (
            <RowAction word="Synchronize" name={directory.title} onClick={() => setSynchronized(directory)} />
          )}
        </>
      )}
      remove={(directory) => (
        <RemoveAction
          noun={t`directory`}
          name={directory.title}
          onConfirm={() => deleteDirectory(directory.directory_id)}
          touched={['directories', 'users']}
        >
          <Trans>
            The log-ins of its users without a local password end. The users remain, and are no longer linked to it.
          </Trans>
        </RemoveAction>
      )}
    >
      {tested && (
        <TestDialog
          title={tested.title}
          run={(username) => testDirectory(tested.directory_id, username)}
          withUser
          onClose={() => setTested(null)}
        />
      )}
      {synchronized && <SyncDialog directory={synchronized} onClose={() => setSynchronized(null)} />}
    </ResourcePage>
  );
}

function DirectorySwitch({ directory }: { directory: Directory }) {
  const { title } = directory;
  return (
    <EnabledSwitch
      enabled={directory.enabled}
      name={t`directory ${title}`}
      list="directories"
      disabled={!useAllowed()('settings_modify')}
      consequence={t`The log-ins of its users without a local password end.`}
      onChange={(enabled) => changeDirectory(directory.directory_id, { enabled })}
    />
  );
}
