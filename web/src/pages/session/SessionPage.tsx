import { useMutation, useQuery } from '@tanstack/react-query';
import { useEffect, useState } from 'react';
import { useNavigate, useParams } from 'react-router';
import { ApiError, retryTemporary } from '../../api/client';
import { connectionQuery, deleteSession, keepSessionAlive } from '../../api/queries';
import type { Connection } from '../../api/types';
import { Connecting } from './Connecting';
import { Desktop } from './Desktop';
import { Ended } from './Ended';

const CONNECTING_LOOK_MS = 500;
const RUNNING_LOOK_MS = 5000;
const KEEPALIVE_MS = 60_000;
const OVER = new Set(['failed', 'deleting', 'deleted']);

/** One session: its way to the first picture, then the desktop, or why there is none. */
export function SessionPage() {
  const { sessionId = '' } = useParams();
  const connection = useQuery({
    ...connectionQuery(sessionId),
    refetchInterval: ({ state }) => (state.data?.frame_url ? RUNNING_LOOK_MS : CONNECTING_LOOK_MS),
  });
  const opened = useOpened(sessionId, connection.data?.frame_url ?? null);
  const remove = useDelete(sessionId);
  useKeepalive(sessionId, connection.data?.status === 'running');
  useEffect(() => {
    document.title = 'Session · Greenroom';
  }, []);

  // Whoever deletes it here is taken to the workspaces, not told that it was deleted.
  const leaving = remove.isPending || remove.isSuccess;
  const gone = connection.error instanceof ApiError && [403, 404].includes(connection.error.status);
  const data = connection.data;
  return (
    <main aria-label="Session" className="stage stage-backdrop">
      {!leaving && (gone || (data && OVER.has(data.status))) ? (
        <Ended sessionId={sessionId} connection={gone ? null : (data ?? null)} />
      ) : opened && data ? (
        <Desktop key={sessionId} frameUrl={data.frame_url} note={noteOf(data)} onDelete={remove.mutateAsync} />
      ) : (
        <Connecting connection={data ?? null} error={connection.error} />
      )}
    </main>
  );
}

/** Whether this session's stream could be opened at some time since the page is shown. */
function useOpened(sessionId: string, url: string | null): boolean {
  const [opened, setOpened] = useState<string | null>(null);
  if (url && opened !== sessionId) setOpened(sessionId);
  return opened === sessionId;
}

/** What to say over a desktop that is not simply running. */
function noteOf(connection: Connection): string | null {
  return connection.status === 'running' ? null : connection.operational_message;
}

function useDelete(sessionId: string) {
  const navigate = useNavigate();
  return useMutation({
    mutationFn: () => deleteSession(sessionId),
    retry: retryTemporary,
    onSuccess: () => navigate('/'),
  });
}

/** While the page is open the session counts as used. */
function useKeepalive(sessionId: string, running: boolean): void {
  useEffect(() => {
    if (!running) return;
    // A missed one is repeated a minute later; the expiry is an hour away.
    const beat = () => void keepSessionAlive(sessionId).catch((error: unknown) => console.warn('keepalive', error));
    beat();
    const timer = setInterval(beat, KEEPALIVE_MS);
    return () => clearInterval(timer);
  }, [sessionId, running]);
}
