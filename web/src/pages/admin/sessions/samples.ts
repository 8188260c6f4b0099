import { useRef } from 'react';
import type { Session } from '../../../api/types';

/** What a session used at a time, in milliseconds since 1970. */
export interface Sample {
  at: number;
  cpu: number;
  memory: number;
}

/** The time that the page remembers, and the shortest time between two samples. */
const KEPT_MS = 30 * 60_000;
const STEP_MS = 5000;

/** The samples with those of a session now, without those that are too old. */
export function withSample(samples: Sample[], session: Session, at: number): Sample[] {
  const { cpu_used: cpu, memory_used: memory, status } = session;
  const last = samples.at(-1);
  if (status !== 'running' || cpu === null || memory === null) return samples;
  if (last && at - last.at < STEP_MS) return samples;
  return [...samples.filter((each) => at - each.at <= KEPT_MS), { at, cpu, memory }];
}

/** The use of a session since the page was opened, for at most 30 minutes. `readAt`: when the session was last read. */
export function useRecentSamples(session: Session | undefined, readAt: number): Sample[] {
  const kept = useRef<{ id: string | undefined; samples: Sample[] }>({ id: undefined, samples: [] });
  if (kept.current.id !== session?.session_id) kept.current = { id: session?.session_id, samples: [] };
  if (session) kept.current.samples = withSample(kept.current.samples, session, readAt);
  return kept.current.samples;
}

/** The path of a line through values, in an area of 100 × 24. The lowest line is zero; null is a gap. */
export function lineOf(values: (number | null)[]): string {
  const top = Math.max(...values.map((value) => value ?? 0), Number.MIN_VALUE);
  const step = 100 / (values.length - 1);
  return values
    .map((value, index) => {
      if (value === null) return '';
      const begins = index === 0 || values[index - 1] === null;
      return `${begins ? 'M' : 'L'}${(index * step).toFixed(1)} ${(23 - (22 * value) / top).toFixed(1)}`;
    })
    .join('');
}
