import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { ownIdentitiesQuery, signOnQuery, startLink, unlinkOwnIdentity } from '../../api/signOn';
import { Confirm } from '../../components/Confirm';
import { useConfirmation } from '../../components/EnrollFactor';
import { RowAction } from '../../components/RowAction';
import { SignOnRefusal } from '../../components/SignOnButtons';
import { useAction } from '../../components/useAction';
import styles from './Account.module.css';

/** The identities at providers that are linked to the user, and buttons that link others. */
export function Identities() {
  const offered = useQuery(signOnQuery);
  const identities = useQuery({ ...ownIdentitiesQuery, enabled: (offered.data?.providers.length ?? 0) > 0 });
  const link = useAction(startLink, [], t`The identity could not be linked`);
  const { confirmed, prompt } = useConfirmation();
  const providers = offered.data?.providers ?? [];
  return (
    <Stack>
      <SignOnRefusal />
      <Text size="sm">
        <Trans>You can log in with each linked identity, and with your password if you have one.</Trans>
      </Text>
      {(identities.data ?? []).map(({ identity_id, issuer, subject }) => (
        <Group key={identity_id} justify="space-between" wrap="nowrap">
          <Text size="sm" className="anywhere">
            {subject}
            <span className={styles.issuer}>{issuer}</span>
          </Text>
          <Confirm
            title={t`Unlink this identity?`}
            action={t`Unlink`}
            onConfirm={() => confirmed(() => unlinkOwnIdentity(identity_id))}
            touched={['identities']}
            trigger={(open) => <RowAction word="Unlink" name={subject} onClick={open} />}
          >
            <Trans>You can no longer log in with it.</Trans>
          </Confirm>
        </Group>
      ))}
      <Group>
        {providers.map(({ name, title }) => (
          <Button
            key={name}
            variant="default"
            loading={link.isPending && link.variables === name}
            onClick={() => link.mutate(name, { onSuccess: (url) => location.assign(url) })}
          >
            <Trans>Link {title}</Trans>
          </Button>
        ))}
      </Group>
      {prompt}
    </Stack>
  );
}

/** Whether the installation has providers. */
export function useHasProviders(): boolean {
  return (useQuery(signOnQuery).data?.providers.length ?? 0) > 0;
}
