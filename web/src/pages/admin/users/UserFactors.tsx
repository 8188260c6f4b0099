import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Button, Card, Group, Skeleton, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useMe } from '../../../api/auth';
import { resetFactors, userFactorsQuery } from '../../../api/secondFactors';
import type { User } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { FactorTable } from '../../../components/FactorTable';
import { StaleBanner } from '../../../components/feedback';

/** The second factors of a user, with the button that removes all of them. */
export function UserFactors({ user, disabled }: { user: User; disabled: boolean }) {
  const found = useQuery(userFactorsQuery(user.user_id));
  const isSelf = useMe()?.user.user_id === user.user_id;
  if (!found.data)
    return found.error ? <StaleBanner error={found.error} hasData={false} /> : <Skeleton h={120} maw={760} />;
  const { factors, recovery_codes, required } = found.data;
  const { username } = user;
  return (
    <Card withBorder className="surface" p="lg" maw={760}>
      <Stack>
        <FactorTable factors={factors} />
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            <Plural value={recovery_codes} one="# recovery code." other="# recovery codes." />{' '}
            {required && t`A group of the user requires a second factor.`}
          </Text>
          <Confirm
            title={t`Reset the second factors of ${username}?`}
            action={t`Reset`}
            onConfirm={() => resetFactors(user.user_id)}
            touched={['users']}
            trigger={(open) => (
              <Button size="sm" variant="default" onClick={open} disabled={disabled || isSelf || factors.length === 0}>
                <Trans>Reset second factors</Trans>
              </Button>
            )}
          >
            <Trans>All second factors are removed, and all log-ins and streams of the user end.</Trans>
          </Confirm>
        </Group>
      </Stack>
    </Card>
  );
}
