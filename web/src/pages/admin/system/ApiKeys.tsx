import { Code, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { changeApiKey, deleteApiKey } from '../../../api/actions';
import { apiKeysQuery } from '../../../api/queries';
import type { ApiKey } from '../../../api/types';
import { enabledColumn, timeColumn } from '../../../components/columns';
import type { Column } from '../../../components/tableState';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowName } from '../../../components/RowLink';
import { textIn } from '../../../components/tones';
import { CreateApiKey, RotateApiKey } from './ApiKeyForm';
import { PermissionTitles } from '../PermissionsField';

/** People → API Keys: keys for programs that use the two HTTP interfaces. */
export function ApiKeys() {
  const allowed = useAllowed();
  const [rotated, setRotated] = useState<ApiKey | null>(null);
  const columns: Column<ApiKey>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => row.name,
      render: (row) => <RowName>{row.name}</RowName>,
    },
    { key: 'key', title: 'API Key', value: (row) => row.key_id, render: (row) => <Code>{row.key_id}</Code> },
    enabledColumn((row) => (
      <EnabledSwitch
        enabled={row.enabled}
        name={`API key ${row.name}`}
        list="api-keys"
        disabled={!allowed('devapi_modify')}
        onChange={(enabled) => changeApiKey(row.key_id, { enabled })}
      />
    )),
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
          <Text size="sm" className="anywhere">
            {row.owner ?? '–'}
          </Text>
          {row.enabled && !row.valid && (
            <Text size="xs" c={textIn('failure')}>
              refused: expired, or the owner cannot log in
            </Text>
          )}
        </>
      ),
    },
    timeColumn('created', 'Created', (row) => row.created),
    timeColumn('expires', 'Expires', (row) => row.expires, 'never'),
    timeColumn('used', 'Last Used', (row) => row.last_used, 'never'),
  ];
  return (
    <ResourcePage
      note="API keys are for programs. The secret of a key is shown only once, after the key is created."
      query={useQuery(apiKeysQuery)}
      columns={columns}
      rowKey={(key) => key.key_id}
      sort="name"
      minWidth={900}
      empty="No API keys"
      emptyNote="A program with an API key has the permissions of the key."
      form={(_, close) => <CreateApiKey onClose={close} />}
      actions={(key) =>
        allowed('devapi_modify') && (
          <RowAction word="Rotate" name={`API key ${key.name}`} onClick={() => setRotated(key)} />
        )
      }
      remove={({ key_id, name }) => (
        <RemoveAction name={`API key ${name}`} onConfirm={() => deleteApiKey(key_id)} touched={['api-keys']}>
          Programs that use this key are refused from now on.
        </RemoveAction>
      )}
    >
      {rotated && <RotateApiKey apiKey={rotated} onClose={() => setRotated(null)} />}
    </ResourcePage>
  );
}
