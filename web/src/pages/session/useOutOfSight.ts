import { useCallback, useEffect, useState } from 'react';

/** The rule for viewers without input. */
export interface IdleRule {
  /** Seconds after which the viewer is disconnected; 0 = never. */
  afterS: number;
  /** Called when the viewer is disconnected by this rule, and when this ends. */
  onChange: (idle: boolean) => void;
}

export const NEVER_IDLE: IdleRule = { afterS: 0, onChange: () => undefined };

/**
 * Whether this window was hidden for `seconds` (0 = never), until the returned function is called.
 *
 * For pages of other images: input into a frame of another origin cannot be observed, but a hidden window gets no
 * input.
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
