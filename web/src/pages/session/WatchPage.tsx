import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link, Navigate, useNavigate, useParams } from 'react-router';
import { useAllowed, useMe } from '../../api/auth';
import { messageOf } from '../../api/client';
import { leaseQuery } from '../../api/control';
import { assist, remembered } from '../../api/sharing';
import { useAction } from '../../components/useAction';
import { Refused, Waiting } from '../share/JoinPage';
import { StageFrame } from './Stage';
import { StageButtons, StageCard } from './StageCard';

/** `/watch/<lease>`: a leased desktop, for its user and for administrators who may help. */
export function WatchPage() {
  const { leaseId = '' } = useParams();
  const navigate = useNavigate();
  const me = useMe();
  const allowed = useAllowed();
  const { data: lease, error } = useQuery(leaseQuery(leaseId));
  const watch = useAction(
    async (sessionId: string) => {
      const joined = await assist(sessionId, { access: 'control', silent: false });
      remembered.keep(joined);
      await navigate(`/join/${joined.share_id}`, { replace: true });
    },
    ['sharing'],
    t`The session was not joined`,
  );
  if (!lease) return error ? <Refused words={messageOf(error)} /> : <Waiting />;
  if (lease.user_id === me?.user.user_id) return <Navigate to={`/session/${lease.session_id}`} replace />;
  if (!allowed('sessions_assist'))
    return (
      <Refused
        words={t`Only the user of this session and administrators with the permission sessions_assist can watch it.`}
      />
    );
  const { image_friendly_name: workspace, username } = lease;
  return (
    <StageFrame>
      <StageCard
        title={
          username
            ? t`A program uses the ${workspace} session of ${username}`
            : t`A program uses the ${workspace} session of a user`
        }
        reason={
          lease.record === 'none'
            ? t`You can watch, and take control if needed. The user sees that you are connected, and the log records it.`
            : t`You can watch, and take control if needed. The user sees that you are connected, and the log records it. The actions of the program are recorded.`
        }
      >
        <StageButtons>
          <Button loading={watch.isPending} onClick={() => watch.mutate(lease.session_id)}>
            <Trans>Watch</Trans>
          </Button>
          <Button component={Link} to="/" variant="default">
            <Trans>Back to the workspaces</Trans>
          </Button>
        </StageButtons>
      </StageCard>
    </StageFrame>
  );
}
