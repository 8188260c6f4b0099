import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Skeleton, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { changeOwnAttributes, endOwnLogin, generateOwnSshKey } from '../../api/actions';
import { useAllowed, useMe } from '../../api/auth';
import { ownAttributesQuery } from '../../api/ownAttributes';
import { homesQuery, launcherQuery, ownLoginsQuery } from '../../api/queries';
import { ownFactorsQuery } from '../../api/secondFactors';
import { PasswordForm } from '../../app/PasswordForm';
import { useAskedAction } from '../../components/askedAction';
import { AttributesForm } from '../../components/AttributesForm';
import { StaleBanner } from '../../components/feedback';
import { HomesTable } from '../../components/HomesTable';
import { LogIns } from '../../components/LogIns';
import { PageHeader } from '../../components/PageHeader';
import { SshKeys } from '../../components/SshKeys';
import styles from './Account.module.css';
import { Identities, useHasProviders } from './Identities';
import { SecondFactors } from './SecondFactors';

/** My account: preferences, SSH keys, password, second factors, log-ins. */
export function Account() {
  const queries = useQueryClient();
  const me = useMe();
  const attributes = useQuery(ownAttributesQuery);
  const images = useQuery(launcherQuery);
  const ownHomes = me ? { user_id: me.user.user_id } : {};
  const homes = useQuery(homesQuery(ownHomes));
  const logIns = useQuery(ownLoginsQuery);
  const factors = useQuery(ownFactorsQuery);
  // The lengths of the parts are not known before. Parts that appear one by one would move the others.
  const isLoading = [attributes, images, homes, logIns, factors].some(({ isPending }) => isPending);
  const allowed = useAllowed();
  const hasProviders = useHasProviders();
  const [changing, { open, close }] = useDisclosure(false);
  useAskedAction((action) => action === 'password' && open());
  const header = <PageHeader title={t`My account`}>{me?.user.username}</PageHeader>;
  if (isLoading)
    return (
      <>
        {header}
        <Skeleton className={styles.waiting} />
      </>
    );
  return (
    <>
      {header}
      <StaleBanner
        error={attributes.error ?? images.error ?? logIns.error ?? factors.error}
        hasData={attributes.data !== undefined && images.data !== undefined}
      />
      <div className={styles.columns}>
        <Stack gap="lg">
          <Section title={t`Preferences`}>
            {attributes.data && images.data && (
              <AttributesForm
                attributes={attributes.data}
                images={images.data}
                save={changeOwnAttributes}
                read={() => queries.query({ ...ownAttributesQuery, staleTime: 0 })}
                touched={['me']}
              />
            )}
          </Section>
          <Section title={t`SSH keys`}>
            {attributes.data && (
              <SshKeys
                attributes={attributes.data}
                save={changeOwnAttributes}
                generate={generateOwnSshKey}
                touched={['me']}
              />
            )}
          </Section>
          {hasProviders && (
            <Section title={t`Sign-on`}>
              <Identities />
            </Section>
          )}
        </Stack>
        <Stack gap="lg">
          <Section title={t`Password`}>
            <Text size="sm">
              <Trans>A change of the password ends all other log-ins of this account.</Trans>
            </Text>
            <Button variant="default" onClick={open} className={styles.button}>
              <Trans>Change password</Trans>
            </Button>
          </Section>
          <Section title={t`Second factors`}>{factors.data && <SecondFactors own={factors.data} />}</Section>
          <Section title={t`Log-ins`}>
            {logIns.data && <LogIns logIns={logIns.data} onEnd={endOwnLogin} touched={['me']} />}
          </Section>
          {allowed('devapi_view') && (
            <Section title={t`API Keys`}>
              <Text size="sm">
                <Trans>A program with an API key can have all your permissions, or fewer.</Trans>
              </Text>
              <Button component={Link} to="/admin/api-keys" variant="default" className={styles.button}>
                <Trans>Manage API keys</Trans>
              </Button>
            </Section>
          )}
        </Stack>
      </div>
      {homes.data?.length ? (
        <Section title={t`Home Folders`}>
          <Text size="sm">
            <Trans>The files that are kept between your sessions, by workspace.</Trans>
          </Text>
          <HomesTable of={ownHomes} name="homes" />
        </Section>
      ) : null}
      {changing && <PasswordForm onClose={close} />}
    </>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={styles.section} aria-label={title}>
      <h2>{title}</h2>
      {children}
    </section>
  );
}
