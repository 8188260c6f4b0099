import { Alert, Loader, Stack, Text, Timeline } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCheck, IconX } from '@tabler/icons-react';
import { messageOf } from '../../../api/client';
import { type Provider, testProvider } from '../../../api/signOn';
import { Dialog } from '../../../components/Dialog';
import { stepTitle } from './steps';

/** Tests a provider when it opens, and shows each step up to the first that fails. */
export function TestDialog({ provider, onClose }: { provider: Provider; onClose: () => void }) {
  const test = useQuery({
    queryKey: ['sign-on-test', provider.provider_id],
    queryFn: () => testProvider(provider.provider_id),
    gcTime: 0,
    staleTime: Infinity,
    refetchInterval: false,
    retry: false,
  });
  const steps = test.data?.steps ?? [];
  return (
    <Dialog title={`Test of ${provider.title}`} size="lg" onClose={onClose}>
      <Stack>
        {test.isPending && <Loader aria-label="The test is running" />}
        {test.isError && (
          <Alert color="red" variant="light" role="alert">
            {messageOf(test.error)}
          </Alert>
        )}
        {test.data && (
          <Alert color={test.data.passed ? 'green' : 'red'} variant="light" role="status">
            {test.data.passed
              ? 'Every step passed. Users can log in.'
              : `The step “${stepTitle(steps.at(-1)?.step ?? '')}” failed.`}
          </Alert>
        )}
        <Timeline bulletSize={22} lineWidth={2} active={steps.length}>
          {steps.map((step) => (
            <Timeline.Item
              key={step.step}
              title={stepTitle(step.step)}
              color={step.passed ? 'green' : 'red'}
              bullet={
                step.passed ? <IconCheck size={14} aria-label="passed" /> : <IconX size={14} aria-label="failed" />
              }
            >
              <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
                {step.detail}
              </Text>
            </Timeline.Item>
          ))}
        </Timeline>
      </Stack>
    </Dialog>
  );
}
