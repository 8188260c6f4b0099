import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { useQuery } from '@tanstack/react-query';
import { useAllowed } from '../../../api/auth';
import { serviceAccountsQuery } from '../../../api/queries';
import { changeServiceAccount, deleteServiceAccount, type ServiceAccount } from '../../../api/serviceAccounts';
import { enabledColumn, timeColumn } from '../../../components/columns';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { ServiceAccountForm } from './ServiceAccountForm';

/** People → Service Accounts: the users of programs, which own API keys, leases and webhooks. */
export function ServiceAccounts() {
  const allowed = useAllowed();
  const columns: Column<ServiceAccount>[] = [
    {
      key: 'name',
      title: t`Name`,
      value: (row) => `${row.name} ${row.description}`,
      render: (row) => (
        <RowPanelLink row={row.service_account_id} note={row.description}>
          {row.name}
        </RowPanelLink>
      ),
    },
    enabledColumn((row) => {
      const { name } = row;
      return (
        <EnabledSwitch
          enabled={row.enabled}
          name={t`service account ${name}`}
          list="service-accounts"
          disabled={!allowed('devapi_modify')}
          onChange={(enabled) => changeServiceAccount(row.service_account_id, { enabled })}
        />
      );
    }),
    { key: 'contact', title: t`Contact`, value: (row) => row.contact },
    { key: 'groups', title: t`Groups`, value: (row) => row.groups.map(({ name }) => name).join(', ') },
    { key: 'networks', title: t`Networks`, value: (row) => row.networks.join(', ') || t`all` },
    { key: 'keys', title: t`API Keys`, value: (row) => row.num_keys, align: 'right' },
    { key: 'sessions', title: t`Sessions`, value: (row) => row.num_sessions, align: 'right' },
    timeColumn('expires', t`Expires`, (row) => row.expires, t`never`),
    timeColumn('used', t`Last Used`, (row) => row.last_used, t`never`),
  ];
  return (
    <ResourcePage
      note={t`Service accounts are the users of programs. No person can log in as a service account. Create its keys on the page API Keys.`}
      query={useQuery(serviceAccountsQuery)}
      columns={columns}
      list="service-accounts"
      rowKey={(account) => account.service_account_id}
      panelTitle={({ name }) => name}
      sort="name"
      minWidth={1000}
      empty={t`No service accounts`}
      emptyNote={t`The API keys and leases of a service account do not depend on the account of a person.`}
      form={(account, close) => <ServiceAccountForm account={account} onClose={close} />}
      editName={(account) => account.name}
      remove={({ service_account_id, name }) => (
        <RemoveAction
          name={t`service account ${name}`}
          onConfirm={() => deleteServiceAccount(service_account_id)}
          touched={['service-accounts', 'api-keys']}
        >
          <Trans>Its sessions and leases end. Its API keys and webhooks are disabled.</Trans>
        </RemoveAction>
      )}
    />
  );
}
