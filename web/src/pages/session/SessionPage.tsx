import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';
import { useParams } from 'react-router';
import { ApiError } from '../../api/client';
import { connectionQuery, keepSessionAlive } from '../../api/queries';
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
  const frameUrl = useFirst(connection.data?.frame_url ?? null, sessionId);
  useKeepalive(sessionId, connection.data?.status === 'running');
  useEffect(() => {
    document.title = 'Session · Greenroom';
  }, []);

  const gone = connection.error instanceof ApiError && [403, 404].includes(connection.error.status);
  const data = connection.data;
  return (
    <main aria-label="Session" className="stage stage-backdrop">
      {gone || (data && OVER.has(data.status)) ? (
        <Ended sessionId={sessionId} connection={gone ? null : (data ?? null)} />
      ) : frameUrl && data ? (
        <Desktop sessionId={sessionId} frameUrl={frameUrl} note={noteOf(data)} />
      ) : (
        <Connecting connection={data ?? null} error={connection.error} />
      )}
    </main>
  );
}

/** The first address of the frame for this session: a later one would reload the desktop for nothing. */
function useFirst(url: string | null, sessionId: string): string | null {
  const kept = useRef<{ sessionId: string; url: string | null }>({ sessionId, url: null });
  if (kept.current.sessionId !== sessionId) kept.current = { sessionId, url: null };
  kept.current.url ??= url;
  return kept.current.url;
}

/** What to say over a desktop that is not simply running. */
function noteOf(connection: Connection): string | null {
  return connection.status === 'running' ? null : connection.operational_message;
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
