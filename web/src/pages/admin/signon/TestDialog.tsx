import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Group, Loader, Stack, Text, TextInput, Timeline } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCheck, IconX } from '@tabler/icons-react';
import { useState } from 'react';
import { messageOf } from '../../../api/client';
import type { Schemas } from '../../../api/types';
import { Dialog } from '../../../components/Dialog';
import { stepTitle } from './steps';

interface Props {
  /** The title of the provider or directory. */
  title: string;
  /** Tests it with a user; empty = any user. */
  run: (username: string) => Promise<Schemas['DiagnosisView']>;
  /** The test can look up a user. */
  withUser?: boolean;
  onClose: () => void;
}

/** Tests a provider or directory when it opens, and shows each step up to the first that fails. */
export function TestDialog({ title, run, withUser = false, onClose }: Props) {
  const [entered, setEntered] = useState('');
  const [username, setUsername] = useState('');
  const test = useQuery({
    queryKey: ['sign-on-test', title, username],
    queryFn: () => run(username),
    gcTime: 0,
    staleTime: Infinity,
    refetchInterval: false,
    retry: false,
  });
  const steps = test.data?.steps ?? [];
  const again = () => (entered === username ? void test.refetch() : setUsername(entered));
  return (
    <Dialog title={t`Test of ${title}`} size="lg" onClose={onClose}>
      <Stack>
        {withUser && (
          <form
            onSubmit={(event) => {
              event.preventDefault();
              again();
            }}
          >
            <Group align="flex-end" wrap="nowrap">
              <TextInput
                label={t`User`}
                description={t`The name with which the user logs in; empty = any user`}
                flex={1}
                value={entered}
                onChange={(event) => setEntered(event.currentTarget.value)}
              />
              <Button type="submit" variant="default" loading={test.isFetching}>
                <Trans>Test again</Trans>
              </Button>
            </Group>
          </form>
        )}
        {test.isFetching ? <Loader aria-label={t`The test is running`} /> : <Result test={test} />}
        {!test.isFetching && (
          <Timeline bulletSize={22} lineWidth={2} active={steps.length}>
            {steps.map((step) => (
              <Timeline.Item
                key={step.step}
                title={stepTitle(step.step)}
                color={step.passed ? 'accent' : 'failure'}
                bullet={
                  step.passed ? (
                    <IconCheck size={14} aria-label={t`passed`} />
                  ) : (
                    <IconX size={14} aria-label={t`failed`} />
                  )
                }
              >
                <Text size="sm" className="anywhere">
                  {step.detail}
                </Text>
              </Timeline.Item>
            ))}
          </Timeline>
        )}
      </Stack>
    </Dialog>
  );
}

function Result({ test }: { test: { data: Schemas['DiagnosisView'] | undefined; error: Error | null } }) {
  const { data, error } = test;
  const step = stepTitle(data?.steps.at(-1)?.step ?? '');
  if (error) {
    return (
      <Alert color="red" variant="light" role="alert">
        {messageOf(error)}
      </Alert>
    );
  }
  return (
    data && (
      <Alert color={data.passed ? 'accent' : 'failure'} variant="light" role="status">
        {data.passed ? t`Every step passed. Users can log in.` : t`The step “${step}” failed.`}
      </Alert>
    )
  );
}
