import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { Navigate, useNavigate } from 'react-router';
import { type ConnectAddress, keepAliveByToken } from '../../api/actions';
import { logInByLink, meQuery } from '../../api/auth';
import { isGone, messageOf } from '../../api/client';
import { programByToken } from '../../api/control';
import { connectQuery } from '../../api/queries';
import { Joining, Refused } from '../share/JoinPage';
import { OVER, Stage, StageFrame } from './Stage';
import { StageCard } from './StageCard';
import { lookAgainAfter, useKeepalive } from './useKeepalive';
import { NEVER_IDLE } from './useOutOfSight';
import { Veil } from './Veil';

/**
 * Addresses that programs give to users: `#/connect/kasm/<session>/<user>/<token>` opens one session without a log-in,
 * `#/connect/join/<share>/<user>/<token>` a session that is shared with a user, and `#/connect/login/<token>` logs in
 * once. They follow `#`, so browsers do not send them to a server.
 */
export function ConnectPage({ hash }: { hash: string }) {
  const [kind, ...parts] = partsOf(hash);
  const [session_id, user_id, session_token] = parts;
  if (kind === 'login' && parts[0]) return <LogInByLink token={parts[0]} />;
  if (kind === 'kasm' && session_id && user_id && session_token)
    return <ConnectedSession address={{ session_id, user_id, session_token }} />;
  if (kind === 'join' && session_id && session_token)
    return <Joining shareId={session_id} token="" stored={session_token} />;
  return <Refused words={t`This address is incomplete. Ask for a new one.`} />;
}

/** The parts between the slashes; none if the address is damaged. */
function partsOf(hash: string): string[] {
  try {
    return hash
      .replace(/^#\/connect\//, '')
      .split('/')
      .map((part) => decodeURIComponent(part));
  } catch {
    return [];
  }
}

function ConnectedSession({ address }: { address: ConnectAddress }) {
  const { data: me } = useQuery(meQuery);
  const { data, error } = useQuery({
    ...connectQuery(address),
    refetchInterval: ({ state }) => lookAgainAfter(state.data),
  });
  const [idle, setIdle] = useState(false);
  useKeepalive(data?.status === 'running' && !idle ? () => keepAliveByToken(address) : null, undefined);
  if (me?.user.user_id === address.user_id) return <Navigate to={`/session/${address.session_id}`} replace />;
  if (isGone(error)) return <Refused words={messageOf(error)} />;
  if (data && (OVER.has(data.status) || data.status === 'stopped' || data.status === 'paused'))
    return <Refused words={data.operational_message} />;
  const program = programByToken(data, address);
  return <Stage connection={data} error={error} program={program} idle={{ ...NEVER_IDLE, onChange: setIdle }} />;
}

/** Logs in with a link. A browser that is already logged in first asks, because the link ends that log-in. */
function LogInByLink({ token }: { token: string }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { data: me, error: failure } = useQuery(meQuery);
  const { mutate, error, isIdle } = useMutation({
    mutationFn: logInByLink,
    onSuccess: async () => {
      await queries.invalidateQueries();
      await navigate('/', { replace: true });
    },
  });
  const isLoggedOut = me === null;
  useEffect(() => {
    if (isLoggedOut && isIdle) mutate(token);
  }, [isLoggedOut, isIdle, mutate, token]);
  if (error || (failure && isIdle)) return <Refused words={messageOf(error ?? failure)} />;
  if (me && isIdle) {
    const { username } = me.user;
    return (
      <StageFrame>
        <StageCard
          title={t`Replace your log-in?`}
          reason={t`You are logged in as ${username}. This link ends your log-in, and can log in another user. Continue only if you asked for this link.`}
        >
          <Button component="a" href="/">
            <Trans>Stay logged in</Trans>
          </Button>
          <Button variant="default" onClick={() => mutate(token)}>
            <Trans>Log in with the link</Trans>
          </Button>
        </StageCard>
      </StageFrame>
    );
  }
  return (
    <StageFrame>
      <Veil words={t`Logging in`} />
    </StageFrame>
  );
}
