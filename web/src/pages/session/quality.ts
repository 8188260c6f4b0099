import { t } from '@lingui/core/macro';
import { shortDuration } from '../../components/clock';
import type { FramePage, FrameState } from './useFramePage';

/** The time before the end of a session from which its user is warned, in seconds. */
const SOON_S = 900;

const STREAM: Record<Exclude<FrameState, 'silent'>, string> = {
  connecting: t`Stream connecting`,
  connected: t`Stream connected`,
  reconnecting: t`Stream reconnecting`,
  refused: t`Stream refused`,
  idle: t`Stream idle`,
};

/** The state of the stream as a color and a text. A stream without an answer is never shown as good. */
export function qualityOf({ state, silentS }: Pick<FramePage, 'state' | 'silentS'>): { color: string; label: string } {
  if (silentS !== null) return { color: 'warning', label: t`No answer for ${silentS} s` };
  if (state === 'silent') return { color: 'gray', label: t`This session does not report its connection` };
  return { color: state === 'connected' ? 'ready' : 'warning', label: STREAM[state] };
}

/** The time until the time limit of a session, e.g. "58m"; undefined = no limit. `now` is in milliseconds. */
export function timeLeft(limit: string | null, now: number): string | undefined {
  return limit === null ? undefined : shortDuration((Date.parse(limit) - now) / 1000);
}

/** Whether a session ends so soon that its user must save. */
export function isSoon(limit: string | null, now: number): boolean {
  return limit !== null && (Date.parse(limit) - now) / 1000 <= SOON_S;
}
