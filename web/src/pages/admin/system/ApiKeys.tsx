import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconTrash } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { changeApiKey, deleteApiKey } from '../../../api/actions';
import { apiKeysQuery } from '../../../api/queries';
import type { ApiKey } from '../../../api/types';
import type { Bulk, BulkAction } from '../../../components/bulk';
import { switches } from '../../../components/bulkSwitch';
import { enabledColumn, timeColumn } from '../../../components/columns';
import type { Column } from '../../../components/tableState';
import { Cut } from '../../../components/Cut';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import { ShortId } from '../../../components/ShortId';
import { textIn } from '../../../components/tones';
import { CreateApiKey, RotateApiKey } from './ApiKeyForm';
import { PermissionTitles } from '../PermissionsField';

const SWITCHES: BulkAction<ApiKey>[] = switches<ApiKey>({
  effects: {
    enable: t`Programs that use this key are accepted again.`,
    disable: t`Programs that use this key are refused until it is enabled again.`,
  },
  run: ({ key_id: id }, enabled) => changeApiKey(id, { enabled }),
});

const DELETION: BulkAction<ApiKey> = {
  label: t`Delete`,
  icon: IconTrash,
  effect: () => t`Programs that use this key are refused from now on.`,
  refusal: () => null,
  run: ({ key_id: id }) => deleteApiKey(id),
  isDangerous: true,
};

function nameOf({ name, key_id: id }: ApiKey): string {
  return name || id;
}

/** The actions for several API keys, as far as the user may change or delete them; undefined = none. */
function useBulkKeys(): Bulk<ApiKey> | undefined {
  const allowed = useAllowed();
  const actions = [...(allowed('devapi_modify') ? SWITCHES : []), ...(allowed('devapi_delete') ? [DELETION] : [])];
  if (actions.length === 0) return undefined;
  return { noun: 'API key', nameOf, touched: ['api-keys'], actions };
}

/** People → API Keys: keys for programs that use the two HTTP interfaces. */
export function ApiKeys() {
  const allowed = useAllowed();
  const [rotated, setRotated] = useState<ApiKey | null>(null);
  const columns: Column<ApiKey>[] = [
    {
      key: 'name',
      title: t`Name`,
      value: (row) => row.name,
      render: (row) => <RowPanelLink row={row.key_id}>{nameOf(row)}</RowPanelLink>,
    },
    { key: 'key', title: t`API Key`, value: (row) => row.key_id, render: (row) => <ShortId id={row.key_id} /> },
    enabledColumn((row) => {
      const { name } = row;
      return (
        <EnabledSwitch
          enabled={row.enabled}
          name={t`API key ${name}`}
          list="api-keys"
          disabled={!allowed('devapi_modify')}
          onChange={(enabled) => changeApiKey(row.key_id, { enabled })}
        />
      );
    }),
    {
      key: 'permissions',
      title: t`Permissions`,
      value: (row) => row.permissions.join(', '),
      render: (row) => {
        const permissions = row.permissions.length === 0 ? t`none` : <PermissionTitles codes={row.permissions} />;
        return <Cut>{row.read_only ? <Trans>{permissions} (read only)</Trans> : permissions}</Cut>;
      },
    },
    {
      key: 'owner',
      title: t`Owner`,
      value: (row) => row.owner,
      render: (row) => (
        <>
          <Cut>{row.owner ?? '–'}</Cut>
          {row.enabled && !row.valid && (
            <Text size="xs" c={textIn('failure')}>
              <Trans>refused: expired, or the owner cannot log in</Trans>
            </Text>
          )}
        </>
      ),
    },
    timeColumn('created', t`Created`, (row) => row.created),
    timeColumn('expires', t`Expires`, (row) => row.expires, t`never`),
    timeColumn('used', t`Last Used`, (row) => row.last_used, t`never`),
  ];
  return (
    <ResourcePage
      note={t`API keys are for programs. The secret of a key is shown only once, after the key is created.`}
      query={useQuery(apiKeysQuery)}
      columns={columns}
      list="api-keys"
      rowKey={(key) => key.key_id}
      panelTitle={nameOf}
      sort="name"
      bulk={useBulkKeys()}
      empty={t`No API keys`}
      emptyNote={t`A program with an API key has the permissions of the key.`}
      form={(_, close) => <CreateApiKey onClose={close} />}
      actions={(key) => {
        const { name } = key;
        return (
          allowed('devapi_modify') && (
            <RowAction word="Rotate" name={t`API key ${name}`} onClick={() => setRotated(key)} />
          )
        );
      }}
      remove={({ key_id, name }) => (
        <RemoveAction name={t`API key ${name}`} onConfirm={() => deleteApiKey(key_id)} touched={['api-keys']}>
          <Trans>Programs that use this key are refused from now on.</Trans>
        </RemoveAction>
      )}
    >
      {rotated && <RotateApiKey apiKey={rotated} onClose={() => setRotated(null)} />}
    </ResourcePage>
  );
}
