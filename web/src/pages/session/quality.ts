import type { FramePage } from './useFramePage';

/** The state of the stream as a color and a text. A stream without an answer is never shown as good. */
export function qualityOf({ state, silentS }: Pick<FramePage, 'state' | 'silentS'>): { color: string; label: string } {
  if (silentS !== null) return { color: 'warning', label: `No answer for ${silentS} s` };
  if (state === 'silent') return { color: 'gray', label: 'This session does not report its connection' };
  return { color: state === 'connected' ? 'ready' : 'warning', label: `Stream ${state}` };
}
