import { Button, Code, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconLockPassword, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed, useMe } from '../../api/auth';
import { deleteSecret, type Secret, secretsQuery } from '../../api/secrets';
import { Confirm } from '../../components/Confirm';
import { DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { RowAction } from '../../components/RowAction';
import type { Column } from '../../components/tableState';
import { TimeAgo } from '../../components/TimeAgo';
import { LeasesWith } from './LeasesWith';
import { SecretForm } from './SecretForm';

/** Hosts that are named in a row. */
const SHOWN = 3;

/** Keys that the person's leases use without having them; with `secrets_view` those of everybody. */
export function Secrets() {
  const secrets = useQuery(secretsQuery);
  const allowed = useAllowed();
  const me = useMe();
  const [editing, setEditing] = useState<Secret | 'new' | null>(null);
  const [used, setUsed] = useState<Secret | null>(null);
  const mayDo = (secret: Secret, permission: string) =>
    allowed(permission) || (secret.owner_id !== null && secret.owner_id === me?.user.user_id);
  const ofAll = allowed('secrets_view');
  const columns: Column<Secret>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => row.name,
      render: (row) => (
        <div>
          <Text size="sm" fw={600}>
            {row.name}
          </Text>
          {row.description && <div className="row-note">{row.description}</div>}
        </div>
      ),
    },
    {
      key: 'hosts',
      title: 'Hosts',
      value: (row) => row.hosts.join(', '),
      render: (row) => <Hosts hosts={row.hosts} />,
    },
    {
      key: 'header',
      title: 'Header',
      value: (row) => row.header,
      render: (row) => <Code>{`${row.header}: ${row.template.replace('{secret}', '•••')}`}</Code>,
    },
    ...(ofAll ? [{ key: 'owner', title: 'Owner', value: (row: Secret) => row.owner ?? 'the installation' }] : []),
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
            aria-label={`${row.num_leases} ${row.num_leases === 1 ? 'lease' : 'leases'} with ${row.name}`}
          >
            {row.num_leases}
          </Button>
        ) : (
          <span className="dimmed">none</span>
        ),
    },
    {
      key: 'changed',
      title: 'Value Changed',
      value: (row) => row.value_changed,
      render: (row) => <TimeAgo time={row.value_changed} />,
    },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <Group gap={6} wrap="nowrap" justify="flex-end">
          {mayDo(row, 'secrets_modify') && <RowAction word="Edit" name={row.name} onClick={() => setEditing(row)} />}
          {mayDo(row, 'secrets_delete') && <DeleteSecret secret={row} />}
        </Group>
      ),
    },
  ];
  const add = (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setEditing('new')}>
      Add Secret
    </Button>
  );
  return (
    <>
      <PageHeader title="Secrets" actions={add}>
        Keys that programs on leased desktops use and never have: the web filter of a lease puts them into requests to
        their hosts.
      </PageHeader>
      <DataTable
        caption="Secrets"
        query={secrets}
        columns={columns}
        rowKey={(row) => row.secret_id}
        sort="name"
        minWidth={900}
        empty={
          <EmptyState icon={IconLockPassword} title="No secrets yet" action={add}>
            A lease that names a secret has it in its requests to the secret’s hosts, and nowhere else.
          </EmptyState>
        }
      />
      {editing && <SecretForm secret={editing === 'new' ? null : editing} onClose={() => setEditing(null)} />}
      {used && <LeasesWith secret={used} onClose={() => setUsed(null)} />}
    </>
  );
}

function Hosts({ hosts }: { hosts: string[] }) {
  return (
    <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
      {hosts.slice(0, SHOWN).join(', ')}
      {hosts.length > SHOWN && ` and ${hosts.length - SHOWN} more`}
    </Text>
  );
}

function DeleteSecret({ secret }: { secret: Secret }) {
  return (
    <Confirm
      title={`Delete secret ${secret.name}?`}
      action="Delete"
      onConfirm={() => deleteSecret(secret.secret_id)}
      touched={['secrets']}
      trigger={(open) => <RowAction word="Delete" name={secret.name} onClick={open} />}
    >
      Leases that use it go on without it within seconds: their requests to {secret.hosts[0]} have no key any more.
    </Confirm>
  );
}
