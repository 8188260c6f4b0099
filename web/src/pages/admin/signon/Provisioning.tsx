import { Alert, Box, Button, Code, CopyButton, Group } from '@mantine/core';
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
import { Confirm } from '../../../components/Confirm';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { ResourcePage } from '../../../components/ResourcePage';
import { RowAction } from '../../../components/RowAction';
import { SecretDialog } from '../../../components/SecretDialog';
import type { Column } from '../../../components/tableState';
import { ScimClientForm } from './ScimClientForm';

const COLUMNS: Column<ScimClient>[] = [
  {
    key: 'name',
    title: 'SCIM Client',
    value: (row) => `${row.name} ${row.owner ?? ''}`,
    render: (row) => (
      <Box maw={340} style={{ overflowWrap: 'anywhere' }}>
        {row.name}
        {row.owner && (
          <Box c="dimmed" fz="xs">
            created by {row.owner}
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

/** Access → Provisioning: the identity providers that create, change and disable users and groups by SCIM. */
export function Provisioning() {
  const [made, setMade] = useState<NewToken | null>(null);
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
      actions={(client) => allowed && <Rotate client={client} onRotated={setMade} />}
      remove={(client) => (
        <Confirm
          title={`Delete SCIM client ${client.name}?`}
          action="Delete"
          onConfirm={() => deleteScimClient(client.client_id)}
          touched={['scim-clients']}
          trigger={(open) => <RowAction word="Delete" name={client.name} onClick={open} />}
        >
          Its users and groups remain, and only administrators can change them. No SCIM client can take them over.
        </Confirm>
      )}
    >
      {made && (
        <SecretDialog title={`Token of ${made.name}`} noun="token" secret={made.token} onClose={() => setMade(null)}>
          Copy the token to the provider, which sends it with each request.
        </SecretDialog>
      )}
    </ResourcePage>
  );
}

function Rotate({ client, onRotated }: { client: ScimClient; onRotated: (made: NewToken) => void }) {
  const { name, client_id } = client;
  return (
    <Confirm
      title={`Replace the token of ${name}?`}
      action="Replace"
      onConfirm={async () => onRotated({ name, token: (await rotateScimToken(client_id)).token })}
      touched={['scim-clients']}
      trigger={(open) => <RowAction word="Replace Token" name={name} onClick={open} />}
    >
      The old token is refused at once. The provider cannot change users until it has the new token.
    </Confirm>
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
