import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Code } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed, useMe } from '../../api/auth';
import { deleteSecret, type Secret, secretsQuery } from '../../api/secrets';
import { timeColumn } from '../../components/columns';
import { FirstOf } from '../../components/FirstOf';
import { ResourcePage } from '../../components/ResourcePage';
import { RemoveAction } from '../../components/RowAction';
import { RowPanelLink } from '../../components/RowLink';
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
      title: t`Name`,
      value: (row) => row.name,
      render: (row) => (
        <RowPanelLink row={row.secret_id} note={row.description}>
          {row.name}
        </RowPanelLink>
      ),
    },
    {
      key: 'hosts',
      title: t`Hosts`,
      value: (row) => row.hosts.join(', '),
      render: (row) => <FirstOf words={row.hosts} shown={SHOWN} />,
    },
    {
      key: 'header',
      title: t`Header`,
      value: (row) => row.header,
      render: (row) => <Code>{`${row.header}: ${row.template.replace('{secret}', '•••')}`}</Code>,
    },
    ...(allowed('secrets_view')
      ? [{ key: 'owner', title: t`Owner`, value: (row: Secret) => row.owner ?? t`no user (managed by administrators)` }]
      : []),
    {
      key: 'leases',
      title: t`Leases`,
      value: (row) => row.num_leases,
      align: 'right',
      render: (row) => {
        const { name, num_leases: count } = row;
        return count > 0 ? (
          <Button
            size="compact-sm"
            variant="default"
            onClick={() => setUsed(row)}
            aria-label={t`${plural(count, { one: '# lease', other: '# leases' })} with ${name}`}
          >
            {count}
          </Button>
        ) : (
          <span className="dimmed">
            <Trans>none</Trans>
          </span>
        );
      },
    },
    timeColumn('changed', t`Value Changed`, (row) => row.value_changed),
  ];
  return (
    <ResourcePage
      list="secrets"
      note={t`Secrets for web requests from leased sessions. Greenroom adds a secret to a request when the request leaves the session. A lease can use a secret only if its option “egress” lists the hosts of the secret. Programs in the session never see the secret.`}
      query={useQuery(secretsQuery)}
      columns={columns}
      rowKey={(secret) => secret.secret_id}
      panelTitle={({ name }) => name}
      sort="name"
      minWidth={900}
      empty={t`No secrets yet`}
      emptyNote={t`A lease requests a secret by its name. The secret is sent only to its own hosts.`}
      create={t`Add Secret`}
      form={(secret, close) => <SecretForm secret={secret} onClose={close} />}
      editName={(secret) => secret.name}
      may={(verb, secret) =>
        verb === 'create' || allowed(`secrets_${verb}`) || secret?.owner_id === (me?.user.user_id ?? '')
      }
      remove={({ secret_id, name, hosts: [host] }) => (
        <RemoveAction noun={t`secret`} name={name} onConfirm={() => deleteSecret(secret_id)} touched={['secrets']}>
          <Trans>
            Leases that use this secret lose it within seconds and continue. Their requests to {host} no longer get the
            secret.
          </Trans>
        </RemoveAction>
      )}
    >
      {used && <LeasesWith secret={used} onClose={() => setUsed(null)} />}
    </ResourcePage>
  );
}
