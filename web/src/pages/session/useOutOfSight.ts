import { useCallback, useEffect, useState } from 'react';

/** What becomes of a viewer who gives no input. */
export interface IdleRule {
  /** Seconds after which the viewer is disconnected; 0 = never. */
  afterS: number;
  /** Called with whether the viewer is disconnected for it now. */
  onChange: (idle: boolean) => void;
}

export const NEVER_IDLE: IdleRule = { afterS: 0, onChange: () => undefined };

/**
 * Whether this window was out of sight for `seconds` (0 = never said), until the function is called.
 *
 * All that can be known of a page that is not ours: what is typed into a frame of another origin is hidden from us,
 * but no user types into a window that is not seen.
 */
export function useOutOfSight(seconds: number): [boolean, () => void] {
  const [out, setOut] = useState(false);
  useEffect(() => {
    if (seconds === 0) return;
    let timer = 0;
    const look = () => {
      clearTimeout(timer);
      if (document.hidden) timer = window.setTimeout(() => setOut(true), seconds * 1000);
    };
    look();
    document.addEventListener('visibilitychange', look);
    return () => {
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', look);
    };
  }, [seconds]);
  return [out, useCallback(() => setOut(false), [])];
}
