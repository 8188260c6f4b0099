import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import {
  changeProvider,
  deleteProvider,
  forgetKeys,
  type Provider,
  providersQuery,
  testProvider,
} from '../../../api/signOn';
import { enabledColumn } from '../../../components/columns';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { showDone } from '../../../components/feedback';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { useAction } from '../../../components/useAction';
import { ProviderForm } from './ProviderForm';
import { TestDialog } from './TestDialog';

const COLUMNS: Column<Provider>[] = [
  {
    key: 'title',
    title: t`Provider`,
    value: (row) => `${row.title} ${row.issuer}`,
    render: (row) => (
      <RowPanelLink row={row.provider_id} note={row.issuer}>
        {row.title}
      </RowPanelLink>
    ),
  },
  { key: 'protocol', title: t`Protocol`, value: (row) => (row.protocol === 'saml' ? 'SAML' : 'OpenID Connect') },
  {
    key: 'users',
    title: t`Unknown Users`,
    value: (row) => (row.create_users ? t`are created` : t`are refused`),
  },
  { key: 'rules', title: t`Rules`, value: (row) => row.rules.length, align: 'right' },
  enabledColumn((row) => <ProviderSwitch provider={row} />),
  { key: 'logins', title: t`Log-ins`, value: (row) => row.num_logins, align: 'right' },
];

/** People → Sign-on: the providers at which users log in. */
export function SignOn() {
  const [tested, setTested] = useState<Provider | null>(null);
  const allowed = useAllowed()('settings_modify');
  const forget = useAction(
    async ({ provider_id, title }: Provider) => {
      await forgetKeys(provider_id);
      showDone(t`The keys of ${title} are read at the next log-in`);
    },
    [],
    t`The keys are not read again`,
  );
  return (
    <ResourcePage
      list="sign-on-providers"
      note={t`Users log in at OpenID Connect or SAML providers, such as the one of your university or company. Local accounts always remain usable.`}
      query={useQuery(providersQuery)}
      columns={COLUMNS}
      rowKey={(provider) => provider.provider_id}
      panelTitle={({ title }) => title}
      sort="title"
      minWidth={900}
      empty={t`No providers yet`}
      emptyNote={t`Register Greenroom at your provider, and enter its values here.`}
      create={t`Add Provider`}
      may={() => allowed}
      form={(provider, close) => <ProviderForm provider={provider} onClose={close} />}
      editName={(provider) => provider.title}
      actions={(provider) =>
        allowed && (
          <>
            <RowAction word="Test" name={provider.title} onClick={() => setTested(provider)} />
            <RowAction word="Read keys" name={provider.title} onClick={() => forget.mutate(provider)} />
          </>
        )
      }
      remove={(provider) => (
        <RemoveAction
          noun={t`provider`}
          name={provider.title}
          onConfirm={() => deleteProvider(provider.provider_id)}
          touched={['sign-on-providers', 'sign-on']}
        >
          <Trans>Its log-ins end. The users and their linked identities remain.</Trans>
        </RemoveAction>
      )}
    >
      {tested && (
        <TestDialog title={tested.title} run={() => testProvider(tested.provider_id)} onClose={() => setTested(null)} />
      )}
    </ResourcePage>
  );
}

function ProviderSwitch({ provider }: { provider: Provider }) {
  const { title } = provider;
  return (
    <EnabledSwitch
      enabled={provider.enabled}
      name={t`provider ${title}`}
      list="sign-on-providers"
      disabled={!useAllowed()('settings_modify')}
      onChange={(enabled) => changeProvider(provider.provider_id, { enabled })}
    />
  );
}
