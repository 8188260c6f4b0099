import { Button, Code } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed, useMe } from '../../api/auth';
import { deleteSecret, type Secret, secretsQuery } from '../../api/secrets';
import { timeColumn } from '../../components/columns';
import { FirstOf } from '../../components/FirstOf';
import { counted } from '../../components/format';
import { ResourcePage } from '../../components/ResourcePage';
import { RemoveAction } from '../../components/RowAction';
import { RowName } from '../../components/RowLink';
import type { Column } from '../../components/tableState';
import { LeasesWith } from './LeasesWith';
import { SecretForm } from './SecretForm';

/** The number of hosts in a row. */
const SHOWN = 3;

/** The secrets for leases of the user; with `secrets_view` those of all users. */
export function Secrets() {
  const allowed = useAllowed();
  const me = useMe();
  const [used, setUsed] = useState<Secret | null>(null);
  const columns: Column<Secret>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => row.name,
      render: (row) => <RowName note={row.description}>{row.name}</RowName>,
    },
    {
      key: 'hosts',
      title: 'Hosts',
      value: (row) => row.hosts.join(', '),
      render: (row) => <FirstOf words={row.hosts} shown={SHOWN} />,
    },
    {
      key: 'header',
      title: 'Header',
      value: (row) => row.header,
      render: (row) => <Code>{`${row.header}: ${row.template.replace('{secret}', '•••')}`}</Code>,
    },
    ...(allowed('secrets_view')
      ? [{ key: 'owner', title: 'Owner', value: (row: Secret) => row.owner ?? 'no user (managed by administrators)' }]
      : []),
    {
      key: 'leases',
      title: 'Leases',
      value: (row) => row.num_leases,
      align: 'right',
      render: (row) =>
        row.num_leases > 0 ? (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setUsed(row)}
            aria-label={`${counted(row.num_leases, 'lease')} with ${row.name}`}
          >
            {row.num_leases}
          </Button>
        ) : (
          <span className="dimmed">none</span>
        ),
    },
    timeColumn('changed', 'Value Changed', (row) => row.value_changed),
  ];
  return (
    <ResourcePage
      note="Secrets for web requests from leased sessions. Greenroom adds a secret to a request when the request leaves the session. A lease can use a secret only if its option “egress” lists the hosts of the secret. Programs in the session never see the secret."
      query={useQuery(secretsQuery)}
      columns={columns}
      rowKey={(secret) => secret.secret_id}
      sort="name"
      minWidth={900}
      empty="No secrets yet"
      emptyNote="A lease requests a secret by its name. The secret is sent only to its own hosts."
      create="Add Secret"
      form={(secret, close) => <SecretForm secret={secret} onClose={close} />}
      editName={(secret) => secret.name}
      may={(verb, secret) =>
        verb === 'create' || allowed(`secrets_${verb}`) || secret?.owner_id === (me?.user.user_id ?? '')
      }
      remove={({ secret_id, name, hosts }) => (
        <RemoveAction noun="secret" name={name} onConfirm={() => deleteSecret(secret_id)} touched={['secrets']}>
          Leases that use this secret lose it within seconds and continue. Their requests to {hosts[0]} no longer get
          the secret.
        </RemoveAction>
      )}
    >
      {used && <LeasesWith secret={used} onClose={() => setUsed(null)} />}
    </ResourcePage>
  );
}
