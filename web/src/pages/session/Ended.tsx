import { Alert, Button } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from 'react-router';
import { messageOf, retryTemporary } from '../../api/client';
import { launchSession, newLaunch } from '../../api/actions';
import { sessionQuery } from '../../api/queries';
import type { Connection } from '../../api/types';
import { StageFrame } from './Stage';
import { StageButtons, StageCard, StageNote } from './StageCard';

const TITLES: Record<string, string> = {
  failed: 'The session could not be started',
  deleting: 'The session is being deleted',
  deleted: 'The session has ended',
};

/** A session that cannot be opened, with the reason and the next steps. `connection` is null if there is no such session. */
export function Ended({ sessionId, connection }: { sessionId: string; connection: Connection | null }) {
  const navigate = useNavigate();
  const failed = connection?.status === 'failed';
  const session = useQuery({ ...sessionQuery(sessionId), enabled: failed, refetchInterval: false });
  const retry = useMutation({
    mutationFn: launchSession,
    retry: retryTemporary,
    onSuccess: ({ session_id }) => navigate(`/session/${session_id}`, { replace: true }),
  });
  const imageId = session.data?.image_id;
  return (
    <StageFrame>
      <StageCard
        title={(connection && TITLES[connection.status]) ?? 'There is no such session'}
        reason={connection ? connection.operational_message : 'The session has ended, or it belongs to another user.'}
      >
        {failed && <StageNote>Session {sessionId}</StageNote>}
        {retry.isError && (
          <Alert color="red" variant="light" role="alert">
            {messageOf(retry.error)}
          </Alert>
        )}
        <StageButtons>
          {failed && (
            <Button
              disabled={!imageId}
              loading={retry.isPending}
              onClick={() => imageId && retry.mutate(newLaunch(imageId))}
            >
              Try again
            </Button>
          )}
          <Button component={Link} to="/" variant={failed ? 'default' : 'filled'}>
            Back to the workspaces
          </Button>
        </StageButtons>
      </StageCard>
    </StageFrame>
  );
}
