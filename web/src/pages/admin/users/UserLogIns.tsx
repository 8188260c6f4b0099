import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Card, Group, Skeleton, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { endUserLogin, logUserOut } from '../../../api/actions';
import { userLoginsQuery } from '../../../api/queries';
import type { User } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { StaleBanner } from '../../../components/feedback';
import { LogIns } from '../../../components/LogIns';

/** The log-ins of a user, with the buttons that end them. */
export function UserLogIns({ user, disabled }: { user: User; disabled: boolean }) {
  const { username } = user;
  const logIns = useQuery(userLoginsQuery(user.user_id));
  if (!logIns.data)
    return logIns.error ? <StaleBanner error={logIns.error} hasData={false} /> : <Skeleton h={120} maw={760} />;
  return (
    <Card withBorder className="surface" p="lg" maw={760}>
      <Stack>
        <LogIns
          logIns={logIns.data}
          onEnd={(loginId) => endUserLogin(user.user_id, loginId)}
          touched={['users']}
          disabled={disabled}
        />
        <Group justify="space-between">
          <Text size="xs" c="dimmed">
            <Trans>When a log-in ends, its streams end. Sessions continue to run.</Trans>
          </Text>
          <Confirm
            title={t`Log ${username} out everywhere?`}
            action={t`Log out`}
            onConfirm={() => logUserOut(user.user_id)}
            touched={['users']}
            trigger={(open) => (
              <Button size="sm" variant="default" onClick={open} disabled={disabled || logIns.data.length === 0}>
                <Trans>Log out everywhere</Trans>
              </Button>
            )}
          >
            <Trans>All log-ins and open streams of the user end. The sessions continue to run.</Trans>
          </Confirm>
        </Group>
      </Stack>
    </Card>
  );
}
