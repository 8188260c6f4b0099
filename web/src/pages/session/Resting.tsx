import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { Link } from 'react-router';
import type { Connection, Session } from '../../api/types';
import { useSessionOrder } from '../../components/sessionActions';
import { withoutSettings } from '../../components/titles';
import { StageFrame } from './Stage';
import { StageButtons, StageCard, StageNote } from './StageCard';

/** A stopped or paused session, with the button that resumes it. */
export function Resting({ connection, session }: { connection: Connection; session: Session | undefined }) {
  const order = useSessionOrder(connection);
  const paused = connection.status === 'paused';
  return (
    <StageFrame>
      <StageCard
        title={paused ? t`The session is paused` : t`The session is stopped`}
        reason={session?.stopped_reason ? withoutSettings(session.stopped_reason) : connection.operational_message}
      >
        <StageNote>
          {paused
            ? t`The programs of the session are frozen. They continue when you resume the session.`
            : t`The programs of the session have ended. Its files are kept, and you have them again when you resume the session.`}
        </StageNote>
        <StageButtons>
          <Button onClick={() => order.mutate('resume')} loading={order.isPending}>
            <Trans>Resume</Trans>
          </Button>
          <Button component={Link} to="/" variant="default">
            <Trans>Back to the workspaces</Trans>
          </Button>
        </StageButtons>
      </StageCard>
    </StageFrame>
  );
}
