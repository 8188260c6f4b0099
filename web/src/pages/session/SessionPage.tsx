import { useMutation, useQuery } from '@tanstack/react-query';
import { useMemo, useState } from 'react';
import { useNavigate, useParams } from 'react-router';
import { deleteSession, keepSessionAlive } from '../../api/actions';
import { isGone, retryTemporary } from '../../api/client';
import { programOf } from '../../api/control';
import { connectionQuery, sessionQuery } from '../../api/queries';
import { Ended } from './Ended';
import { OpeningContext, openingOf } from './opening';
import { lastReport } from './pageReport';
import { Resting } from './Resting';
import { SessionTools } from './SessionTools';
import { OVER, Stage } from './Stage';
import { lookAgainAfter, useKeepalive } from './useKeepalive';

/** A session of the user: the progress of its start, then the desktop, or the reason why there is none. */
export function SessionPage() {
  const { sessionId = '' } = useParams();
  const connection = useQuery({
    ...connectionQuery(sessionId),
    refetchInterval: ({ state }) => lookAgainAfter(state.data),
  });
  const session = useQuery(sessionQuery(sessionId));
  const remove = useDelete(sessionId);
  const opening = useMemo(() => openingOf(sessionId), [sessionId]);
  const { data, error } = connection;
  const running = data?.status === 'running';
  // A viewer who was disconnected without input does not use the session, so its time until expiry continues.
  const [idle, setIdle] = useState(false);
  const settings = session.data?.client_settings;
  useKeepalive(running && !idle ? () => keepSessionAlive(sessionId, lastReport(Date.now())) : null, settings);

  // After a deletion on this page, the workspaces are shown without a message that the session was deleted.
  const leaving = remove.isPending || remove.isSuccess;
  const gone = isGone(error);
  if (!leaving && (gone || (data && OVER.has(data.status))))
    return <Ended sessionId={sessionId} connection={gone ? null : (data ?? null)} />;
  if (data && (data.status === 'stopped' || data.status === 'paused'))
    return <Resting connection={data} session={session.data} />;
  return (
    <OpeningContext value={opening}>
      <Stage
        key={sessionId}
        connection={data}
        error={error}
        program={programOf(data)}
        limit={session.data?.time_limit_ends ?? null}
        idle={{ afterS: (Number(settings?.idle_disconnect) || 0) * 60, onChange: setIdle }}
        title={session.data?.image_friendly_name}
        tools={<SessionTools session={session.data} onDelete={remove.mutateAsync} />}
      />
    </OpeningContext>
  );
}

function useDelete(sessionId: string) {
  const navigate = useNavigate();
  return useMutation({
    mutationFn: () => deleteSession(sessionId),
    retry: retryTemporary,
    onSuccess: () => navigate('/'),
  });
}
