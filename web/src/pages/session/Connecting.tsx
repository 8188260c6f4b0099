import { Alert, Button, Center, Group, Loader, Paper, Progress, Stack, Text, ThemeIcon, Title } from '@mantine/core';
import { IconCheck, IconCircleDotted } from '@tabler/icons-react';
import { Link } from 'react-router';
import { messageOf } from '../../api/client';
import type { Connection, Step } from '../../api/types';

/** The progress until the first picture. Each line is a step that the server recorded. */
export function Connecting({ connection, error }: { connection: Connection | null; error: unknown }) {
  const percent = connection?.operational_progress ?? 0;
  const steps = connection?.steps ?? [];
  const current = steps.findIndex((step) => !step.at);
  return (
    <Center h="100%" p="md">
      <Paper p="xl" radius="lg" w="100%" maw={440} shadow="xl" className="surface">
        <Stack gap="lg">
          <Group gap="sm" wrap="nowrap">
            <img src="/favicon.svg" width={36} height={36} alt="" />
            <div>
              <Title order={1} fz={20}>
                Preparing your session
              </Title>
              <Text size="sm" c="dimmed" role="status" aria-live="polite">
                {connection?.operational_message ?? 'Loading the state'}…
              </Text>
            </div>
          </Group>
          <Progress value={percent} size="lg" radius="xl" aria-label="Progress" transitionDuration={200} />
          <Stack component="ol" gap={8} m={0} p={0} style={{ listStyle: 'none' }} aria-label="Steps">
            {steps.map((step, index) => (
              <StepLine key={step.name} step={step} isCurrent={index === current} since={steps[0]?.at ?? null} />
            ))}
          </Stack>
          {error != null && (
            <Alert color="yellow" variant="light" role="alert">
              {messageOf(error)}
            </Alert>
          )}
          <Button component={Link} to="/" variant="default">
            Back to the workspaces
          </Button>
        </Stack>
      </Paper>
    </Center>
  );
}

function StepLine({ step, isCurrent, since }: { step: Step; isCurrent: boolean; since: string | null }) {
  const took = step.at && since ? (Date.parse(step.at) - Date.parse(since)) / 1000 : null;
  return (
    <Group component="li" gap="sm" wrap="nowrap" data-step={step.name} data-done={step.at !== null}>
      {step.at ? (
        <ThemeIcon size={20} radius="xl" color="accent">
          <IconCheck size={13} aria-label="done" />
        </ThemeIcon>
      ) : isCurrent ? (
        <Loader size={20} role="img" aria-label="now" />
      ) : (
        <IconCircleDotted size={20} color="var(--mantine-color-dimmed)" aria-label="to come" />
      )}
      <Text size="sm" fw={isCurrent ? 650 : 400} c={step.at || isCurrent ? undefined : 'dimmed'} style={{ flex: 1 }}>
        {step.title}
      </Text>
      {took !== null && took > 0 && (
        <Text size="xs" c="dimmed" className="number">
          {took.toFixed(1)} s
        </Text>
      )}
    </Group>
  );
}
