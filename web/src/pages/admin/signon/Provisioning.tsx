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
import { SecretDialog } from '../../../components/SecretDialog';
import type { Column } from '../../../components/tableState';
import { TimeAgo } from '../../../components/TimeAgo';
import { ScimClientForm } from './ScimClientForm';

const COLUMNS: Column<ScimClient>[] = [
  {
    key: 'name',
    title: 'SCIM Client',
    value: (row) => `${row.name} ${row.owner ?? ''}`,
    render: (row) => (
      <Box maw={340} className="anywhere">
        {row.name}
        {row.owner && (
          <Box c="dimmed" fz="xs">
            created by {row.owner}
          </Box>
        )}
        {row.old_until && (
          <Box c="dimmed" fz="xs">
            former token valid, ends <TimeAgo time={row.old_until} />
          </Box>
        )}
      </Box>
    ),
  },
  numberColumn('users', 'Users', (row) => row.num_users),
  numberColumn('groups', 'Groups', (row) => row.num_groups),
  enabledColumn((row) => <ClientSwitch client={row} />),
  timeColumn('used', 'Last Used', (row) => row.last_used, 'never'),
  timeColumn('expires', 'Expires', (row) => row.expires, 'never'),
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
  const address = clients.data?.[0]?.base_url ?? `${window.location.origin}/api/scim/v2`;
  return (
    <ResourcePage
      note="Identity providers create, change and disable users and groups with SCIM 2.0. Each provider changes only its own."
      notice={
        <Alert variant="light" mb="md" title="Address for the provider">
          <Group gap="xs">
            <Code>{address}</Code>
            <CopyButton value={address}>
              {({ copied, copy }) => (
                <Button variant="default" size="compact-xs" onClick={copy}>
                  {copied ? 'Copied' : 'Copy'}
                </Button>
              )}
            </CopyButton>
          </Group>
        </Alert>
      }
      query={clients}
      columns={COLUMNS}
      rowKey={(row) => row.client_id}
      sort="name"
      minWidth={900}
      empty="No SCIM clients yet"
      emptyNote="Create a SCIM client for your provider, and enter the address and the token of the client there."
      create="Create SCIM Client"
      may={() => allowed}
      form={(client, close) => <ScimClientForm client={client} onCreated={setMade} onClose={close} />}
      editName={(client) => client.name}
      actions={(client) => allowed && <RowAction word="Rotate" name={client.name} onClick={() => setRotated(client)} />}
      remove={(client) => (
        <RemoveAction
          noun="SCIM client"
          name={client.name}
          onConfirm={() => deleteScimClient(client.client_id)}
          touched={['scim-clients']}
        >
          Its users and groups remain, and only administrators can change them. No SCIM client can take them over.
        </RemoveAction>
      )}
    >
      {rotated && <Rotation client={rotated} onRotated={setMade} onClose={() => setRotated(null)} />}
      {made && (
        <SecretDialog title={`Token of ${made.name}`} noun="token" secret={made.token} onClose={() => setMade(null)}>
          Copy the token to the provider, which sends it with each request.
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
      title={`Rotate the token of ${name}`}
      form={form}
      save={({ overlap_s }) => rotateScimToken(client_id, Number(overlap_s))}
      touched={['scim-clients']}
      onSaved={({ token }) => onRotated({ name, token })}
      submit="Rotate"
      onClose={onClose}
    >
      <Select
        label="Present token"
        description="The new token is valid at once. Until the end of this time, both tokens are valid"
        allowDeselect={false}
        data={OVERLAPS}
        {...form.getInputProps('overlap_s')}
      />
    </FormDialog>
  );
}

function ClientSwitch({ client }: { client: ScimClient }) {
  return (
    <EnabledSwitch
      enabled={client.enabled}
      name={`SCIM client ${client.name}`}
      list="scim-clients"
      disabled={!useAllowed()('settings_modify')}
      onChange={(enabled) => changeScimClient(client.client_id, { enabled })}
    />
  );
}
