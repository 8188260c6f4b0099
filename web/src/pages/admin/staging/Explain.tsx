import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Autocomplete, Button, Card, Group, List, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCircleCheck, IconInfoCircle } from '@tabler/icons-react';
import { type SyntheticEvent, useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { stagingAnswerQuery, usersQuery } from '../../../api/queries';
import type { Schemas, StagingConfig } from '../../../api/types';
import { useAddress } from '../../../components/address';
import { StaleBanner } from '../../../components/feedback';
import { nameOf } from './ConfigActions';
import { wordsOf } from './misses';
import { withTitles } from '../../../components/titles';

/** Whether a user would get a session of this pool now, without launching anything; the user is in the address. */
export function Explain({ config }: { config: StagingConfig }) {
  const address = useAddress();
  const user = address.get('user') ?? '';
  const [typed, setTyped] = useState(user);
  const users = useQuery({ ...usersQuery, enabled: useAllowed()('users_view') });
  const answer = useQuery({ ...stagingAnswerQuery(config.staging_config_id, user), enabled: user !== '' });
  const ask = (name: string) => address.set({ user: name.trim() });
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    ask(typed);
  };
  return (
    <Stack maw={900}>
      <Card withBorder className="surface" p="md">
        <form onSubmit={submit}>
          <Group align="flex-end">
            <Autocomplete
              label={t`User`}
              description={t`Would this user get a session of this pool? Nothing is launched.`}
              flex="1 1 240px"
              data={(users.data ?? []).map(({ username }) => username)}
              limit={50}
              value={typed}
              onChange={setTyped}
              onOptionSubmit={ask}
            />
            <Button type="submit" disabled={typed.trim() === ''}>
              <Trans>Check</Trans>
            </Button>
          </Group>
        </form>
      </Card>
      <StaleBanner error={answer.error} hasData={answer.data !== undefined} />
      {answer.data && <Answer answer={answer.data} pool={nameOf(config)} />}
    </Stack>
  );
}

function Answer({ answer, pool }: { answer: Schemas['ExplainView']; pool: string }) {
  const { would_get: yes, username, reasons } = answer;
  return (
    <Alert
      color={yes ? 'ready' : 'warning'}
      variant="light"
      role="status"
      icon={yes ? <IconCircleCheck aria-hidden /> : <IconInfoCircle aria-hidden />}
      title={
        yes ? t`Yes: ${username} would get a session of ${pool}` : t`No: ${username} would not get a session of ${pool}`
      }
    >
      {yes ? (
        <Text size="sm">
          <Trans>A launch in zone {{ zone: answer.zone_name }} would be served from this pool.</Trans>
        </Text>
      ) : (
        <List size="sm" spacing="xs">
          {reasons.map((reason) => (
            <List.Item key={`${reason.code} ${reason.reason}`}>
              <Reason reason={reason} />
            </List.Item>
          ))}
        </List>
      )}
    </Alert>
  );
}

function Reason({ reason }: { reason: Schemas['ExplainReason'] }) {
  return (
    <>
      <Text size="sm" fw={600}>
        {wordsOf(reason.code)}
      </Text>
      <Text size="sm">{withTitles(reason.reason)}</Text>
    </>
  );
}
