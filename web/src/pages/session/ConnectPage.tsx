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
  return <Refused words="This address is incomplete. Ask for a new one." />;
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

function LogInByLink({ token }: { token: string }) {
  const queries = useQueryClient();
  const navigate = useNavigate();
  const { mutate, error } = useMutation({
    mutationFn: logInByLink,
    onSuccess: async () => {
      await queries.invalidateQueries();
      await navigate('/', { replace: true });
    },
  });
  useEffect(() => mutate(token), [mutate, token]);
  if (error) return <Refused words={messageOf(error)} />;
  return (
    <StageFrame>
      <Veil words="Logging in" />
    </StageFrame>
  );
}
