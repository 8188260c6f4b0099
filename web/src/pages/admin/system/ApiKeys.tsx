import { Code, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconKey, IconTrash } from '@tabler/icons-react';
import { useAllowed } from '../../../api/auth';
import { changeApiKey, deleteApiKey } from '../../../api/actions';
import { apiKeysQuery } from '../../../api/queries';
import type { ApiKey } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowButton } from '../../../components/RowButton';
import { TimeAgo } from '../../../components/TimeAgo';
import { textIn } from '../../../components/tones';
import { CreateApiKey } from './ApiKeyForm';
import { PermissionTitles } from '../PermissionsField';

/** Keys with which programs use the two HTTP interfaces; secrets are shown once, when a key is made. */
export function ApiKeys() {
  const keys = useQuery(apiKeysQuery);
  const allowed = useAllowed();
  const columns: Column<ApiKey>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => row.name,
      render: (row) => (
        <Text size="sm" fw={600}>
          {row.name}
        </Text>
      ),
    },
    { key: 'key', title: 'API Key', value: (row) => row.key_id, render: (row) => <Code>{row.key_id}</Code> },
    {
      key: 'enabled',
      title: 'Enabled',
      value: (row) => (row.enabled ? 'enabled' : 'disabled'),
      render: (row) => (
        <EnabledSwitch
          enabled={row.enabled}
          name={`API key ${row.name}`}
          list="api-keys"
          disabled={!allowed('devapi_modify')}
          onChange={(enabled) => changeApiKey(row.key_id, { enabled })}
        />
      ),
    },
    {
      key: 'permissions',
      title: 'Permissions',
      value: (row) => row.permissions.join(', '),
      render: (row) => (
        <Text size="sm" lineClamp={2}>
          {row.permissions.length === 0 ? 'none' : <PermissionTitles codes={row.permissions} />}
          {row.read_only ? ' (read only)' : ''}
        </Text>
      ),
    },
    {
      key: 'owner',
      title: 'Owner',
      value: (row) => row.owner,
      render: (row) => (
        <>
          <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
            {row.owner ?? '–'}
          </Text>
          {row.enabled && !row.valid && (
            <Text size="xs" c={textIn('red')}>
              refused: expired, or its owner may not log in
            </Text>
          )}
        </>
      ),
    },
    { key: 'created', title: 'Created', value: (row) => row.created, render: (row) => <TimeAgo time={row.created} /> },
    {
      key: 'expires',
      title: 'Expires',
      value: (row) => row.expires,
      render: (row) => <TimeAgo time={row.expires} none="never" />,
    },
    {
      key: 'used',
      title: 'Last Used',
      value: (row) => row.last_used,
      render: (row) => <TimeAgo time={row.last_used} none="never" />,
    },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => allowed('devapi_delete') && <DeleteKey row={row} />,
    },
  ];
  return (
    <>
      <PageHeader title="API Keys" actions={<CreateApiKey />}>
        For programs. The secret of a key is shown when it is made, and never again.
      </PageHeader>
      <DataTable
        caption="API Keys"
        query={keys}
        columns={columns}
        rowKey={(row) => row.key_id}
        sort="name"
        minWidth={900}
        empty={
          <EmptyState icon={IconKey} title="No API keys">
            A key lets a program do what its permissions say.
          </EmptyState>
        }
      />
    </>
  );
}

function DeleteKey({ row }: { row: ApiKey }) {
  return (
    <Confirm
      title={`Delete API key ${row.name}?`}
      action="Delete"
      onConfirm={() => deleteApiKey(row.key_id)}
      touched={['api-keys']}
      trigger={(open) => <RowButton label={`Delete API key ${row.name}`} icon={IconTrash} onClick={open} />}
    >
      Programs that use it are refused from now on.
    </Confirm>
  );
}
