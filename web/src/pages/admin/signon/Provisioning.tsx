import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Box, Button, Code, CopyButton, Group, Select } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import {
  changeScimClient,
  deleteScimClient,
  rotateScimToken,
  type ScimClient,
  scimClientsQuery,
} from '../../../api/provisioning';
import { enabledColumn, numberColumn, timeColumn } from '../../../components/columns';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { FormDialog } from '../../../components/Form';
import { OVERLAPS } from '../../../components/overlaps';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import { SecretDialog } from '../../../components/SecretDialog';
import type { Column } from '../../../components/tableState';
import { TimeAgo } from '../../../components/TimeAgo';
import { ScimClientForm } from './ScimClientForm';

const COLUMNS: Column<ScimClient>[] = [
  {
    key: 'name',
    title: t`SCIM Client`,
    value: (row) => `${row.name} ${row.owner ?? ''}`,
    render: ({ client_id, name, owner, old_until }) => (
      <Box maw={340} className="anywhere">
        <RowPanelLink row={client_id}>{name}</RowPanelLink>
        {owner && (
          <Box c="dimmed" fz="xs">
            <Trans>created by {owner}</Trans>
          </Box>
        )}
        {old_until && (
          <Box c="dimmed" fz="xs">
            <Trans>
              former token valid, ends <TimeAgo time={old_until} />
            </Trans>
          </Box>
        )}
      </Box>
    ),
  },
  numberColumn('users', t`Users`, (row) => row.num_users),
  numberColumn('groups', t`Groups`, (row) => row.num_groups),
  enabledColumn((row) => <ClientSwitch client={row} />),
  timeColumn('used', t`Last Used`, (row) => row.last_used, t`never`),
  timeColumn('expires', t`Expires`, (row) => row.expires, t`never`),
];

interface NewToken {
  name: string;
  token: string;
}

/** People → Provisioning: the identity providers that create, change and disable users and groups by SCIM. */
export function Provisioning() {
  const [made, setMade] = useState<NewToken | null>(null);
  const [rotated, setRotated] = useState<ScimClient | null>(null);
  const allowed = useAllowed()('settings_modify');
  const clients = useQuery(scimClientsQuery);
  const name = made?.name ?? '';
  const address = clients.data?.[0]?.base_url ?? `${window.location.origin}/api/scim/v2`;
  return (
    <ResourcePage
      list="scim-clients"
      note={t`Identity providers create, change and disable users and groups with SCIM 2.0. Each provider changes only its own.`}
      notice={
        <Alert variant="light" mb="md" title={t`Address for the provider`}>
          <Group gap="xs">
            <Code>{address}</Code>
            <CopyButton value={address}>
              {({ copied, copy }) => (
                <Button variant="default" size="compact-xs" onClick={copy}>
                  {copied ? t`Copied` : t`Copy`}
                </Button>
              )}
            </CopyButton>
          </Group>
        </Alert>
      }
      query={clients}
      columns={COLUMNS}
      rowKey={(row) => row.client_id}
      panelTitle={({ name }) => name}
      sort="name"
      minWidth={900}
      empty={t`No SCIM clients yet`}
      emptyNote={t`Create a SCIM client for your provider, and enter the address and the token of the client there.`}
      create={t`Create SCIM Client`}
      may={() => allowed}
      form={(client, close) => <ScimClientForm client={client} onCreated={setMade} onClose={close} />}
      editName={(client) => client.name}
      actions={(client) => allowed && <RowAction word="Rotate" name={client.name} onClick={() => setRotated(client)} />}
      remove={(client) => (
        <RemoveAction
          noun={t`SCIM client`}
          name={client.name}
          onConfirm={() => deleteScimClient(client.client_id)}
          touched={['scim-clients']}
        >
          <Trans>
            Its users and groups remain, and only administrators can change them. No SCIM client can take them over.
          </Trans>
        </RemoveAction>
      )}
    >
      {rotated && <Rotation client={rotated} onRotated={setMade} onClose={() => setRotated(null)} />}
      {made && (
        <SecretDialog title={t`Token of ${name}`} noun="token" secret={made.token} onClose={() => setMade(null)}>
          <Trans>Copy the token to the provider, which sends it with each request.</Trans>
        </SecretDialog>
      )}
    </ResourcePage>
  );
}

interface RotationProps {
  client: ScimClient;
  onRotated: (made: NewToken) => void;
  onClose: () => void;
}

/** Rotate: the overlap, then the new token. */
function Rotation({ client: { client_id, name }, onRotated, onClose }: RotationProps) {
  const form = useForm({ initialValues: { overlap_s: '86400' } });
  return (
    <FormDialog
      title={t`Rotate the token of ${name}`}
      form={form}
      save={({ overlap_s }) => rotateScimToken(client_id, Number(overlap_s))}
      touched={['scim-clients']}
      onSaved={({ token }) => onRotated({ name, token })}
      submit={t`Rotate`}
      onClose={onClose}
    >
      <Select
        label={t`Present token`}
        description={t`The new token is valid at once. Until the end of this time, both tokens are valid`}
        allowDeselect={false}
        data={OVERLAPS}
        {...form.getInputProps('overlap_s')}
      />
    </FormDialog>
  );
}

function ClientSwitch({ client }: { client: ScimClient }) {
  const { name } = client;
  return (
    <EnabledSwitch
      enabled={client.enabled}
      name={t`SCIM client ${name}`}
      list="scim-clients"
      disabled={!useAllowed()('settings_modify')}
      onChange={(enabled) => changeScimClient(client.client_id, { enabled })}
    />
  );
}
