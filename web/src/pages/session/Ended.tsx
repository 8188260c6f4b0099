import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { Link, useNavigate } from 'react-router';
import { messageOf, retryTemporary } from '../../api/client';
import { launchSession, newLaunch } from '../../api/actions';
import { useBranding } from '../../api/branding';
import { sessionQuery } from '../../api/queries';
import type { Connection } from '../../api/types';
import { ShortId } from '../../components/ShortId';
import { StageFrame } from './Stage';
import { StageButtons, StageCard, StageNote } from './StageCard';

const TITLES: Record<string, string> = {
  failed: t`The session could not be started`,
  deleting: t`The session is being deleted`,
  deleted: t`The session has ended`,
};

/** A session that cannot be opened, with the reason and the next steps. `connection` is null if there is no such session. */
export function Ended({ sessionId, connection }: { sessionId: string; connection: Connection | null }) {
  const navigate = useNavigate();
  const { support_url: support } = useBranding();
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
        title={(connection && TITLES[connection.status]) ?? t`There is no such session`}
        reason={connection ? connection.operational_message : t`The session has ended, or it belongs to another user.`}
      >
        {failed && (
          <StageNote>
            <Trans>
              Session <ShortId id={sessionId} />
            </Trans>
          </StageNote>
        )}
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
              <Trans>Try again</Trans>
            </Button>
          )}
          <Button component={Link} to="/" variant={failed ? 'default' : 'filled'}>
            <Trans>Back to the workspaces</Trans>
          </Button>
          {failed && support && (
            <Button component="a" href={support} variant="subtle">
              <Trans>Support</Trans>
            </Button>
          )}
        </StageButtons>
      </StageCard>
    </StageFrame>
  );
}
