import { Button, Stack, Text } from '@mantine/core';
import { Link } from 'react-router';
import type { Connection, Session } from '../../api/types';
import { useSessionOrder } from '../../components/sessionActions';
import { StageFrame } from './Stage';
import { StageCard } from './StageCard';

/** A session that was stopped or paused: what is kept of it, and the way back. */
export function Resting({ connection, session }: { connection: Connection; session: Session | undefined }) {
  const order = useSessionOrder(connection);
  const paused = connection.status === 'paused';
  return (
    <StageFrame>
      <StageCard
        title={paused ? 'The session is paused' : 'The session is stopped'}
        reason={session?.stopped_reason ?? connection.operational_message}
      >
        <Text size="sm" c="dimmed">
          {paused
            ? 'Its programs are frozen as they were and go on when you resume.'
            : 'Its programs have ended; all its files are kept and are there when you resume.'}
        </Text>
        <Stack gap="xs">
          <Button onClick={() => order.mutate('resume')} loading={order.isPending}>
            Resume
          </Button>
          <Button component={Link} to="/" variant="default">
            Back to the workspaces
          </Button>
        </Stack>
      </StageCard>
    </StageFrame>
  );
}
