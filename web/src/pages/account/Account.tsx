import { Button, Card, SimpleGrid, Skeleton, Stack, Text, Title } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { Link } from 'react-router';
import { changeOwnAttributes, endOwnLogin, generateOwnSshKey } from '../../api/actions';
import { useAllowed, useMe } from '../../api/auth';
import { homesQuery, launcherQuery, ownAttributesQuery, ownLoginsQuery } from '../../api/queries';
import { PasswordForm } from '../../app/PasswordForm';
import { AttributesForm } from '../../components/AttributesForm';
import { StaleBanner } from '../../components/feedback';
import { HomesTable } from '../../components/HomesTable';
import { LogIns } from '../../components/LogIns';
import { PageHeader } from '../../components/PageHeader';
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
  const allowed = useAllowed();
  const hasProviders = useHasProviders();
  const [changing, { open, close }] = useDisclosure(false);
  return (
    <>
      <PageHeader title="My account">{me?.user.username}</PageHeader>
      <StaleBanner
        error={attributes.error ?? images.error ?? logIns.error}
        hasData={attributes.data !== undefined && images.data !== undefined}
      />
      <SimpleGrid cols={{ base: 1, md: 2 }} spacing="lg">
        <Section title="Preferences">
          {attributes.data && images.data ? (
            <AttributesForm
              attributes={attributes.data}
              images={images.data}
              save={changeOwnAttributes}
              read={() => queries.query({ ...ownAttributesQuery, staleTime: 0 })}
              generate={generateOwnSshKey}
              touched={['me']}
            />
          ) : (
            <Skeleton h={360} />
          )}
        </Section>
        <Stack gap="lg">
          <Section title="Password">
            <Text size="sm">A change of the password ends all other log-ins of this account.</Text>
            <Button variant="default" onClick={open} maw="max-content">
              Change password
            </Button>
          </Section>
          <Section title="Second factors">
            <SecondFactors />
          </Section>
          {hasProviders && (
            <Section title="Sign-on">
              <Identities />
            </Section>
          )}
          <Section title="Log-ins">
            {logIns.data ? <LogIns logIns={logIns.data} onEnd={endOwnLogin} touched={['me']} /> : <Skeleton h={80} />}
          </Section>
          {allowed('devapi_view') && (
            <Section title="API Keys">
              <Text size="sm">A program with an API key can have all your permissions, or fewer.</Text>
              <Button component={Link} to="/admin/api-keys" variant="default" maw="max-content">
                To the API keys
              </Button>
            </Section>
          )}
        </Stack>
      </SimpleGrid>
      {homes.data?.length ? (
        <Section title="Home Folders">
          <Text size="sm">The files that are kept between your sessions, by workspace.</Text>
          <HomesTable of={ownHomes} name="homes" />
        </Section>
      ) : null}
      {changing && <PasswordForm onClose={close} />}
    </>
  );
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Card withBorder className="surface" p="lg" component="section" aria-label={title}>
      <Stack>
        <Title order={2} fz={16}>
          {title}
        </Title>
        {children}
      </Stack>
    </Card>
  );
}
