import { useEffect, useRef } from 'react';
import type { Connection } from '../../api/types';
import { onFirstRoundTrip } from './pageReport';

const CONNECTING_LOOK_MS = 500;
const RUNNING_LOOK_MS = 5000;
const DEFAULT_INTERVAL_S = 60;

/** The milliseconds after which the page of a session requests its state again. */
export function lookAgainAfter(connection: Connection | undefined): number {
  return connection?.frame_url ? RUNNING_LOOK_MS : CONNECTING_LOOK_MS;
}

/**
 * While the page is open, the session counts as used: `beat` is called immediately and every `keepalive_interval`.
 *
 * `beat` is also called when the page becomes visible, because browsers slow the timers of hidden pages, and at the first
 * measured round trip, which administrators would otherwise see after a whole interval. One missed call is harmless,
 * because the interval is at most half of the expiry. Null = the session does not run.
 */
export function useKeepalive(
  beat: (() => Promise<unknown>) | null,
  settings: Record<string, unknown> | undefined,
): void {
  const latest = useRef(beat);
  latest.current = beat;
  const running = beat !== null;
  const interval = Number(settings?.keepalive_interval) || DEFAULT_INTERVAL_S;
  useEffect(() => {
    if (!running) return;
    const send = () => void latest.current?.().catch((error: unknown) => console.warn('keepalive', error));
    const sendWhenSeen = () => document.visibilityState === 'visible' && send();
    send();
    const timer = setInterval(send, interval * 1000);
    document.addEventListener('visibilitychange', sendWhenSeen);
    const forget = onFirstRoundTrip(send);
    return () => {
      forget();
      clearInterval(timer);
      document.removeEventListener('visibilitychange', sendWhenSeen);
    };
  }, [running, interval]);
}
