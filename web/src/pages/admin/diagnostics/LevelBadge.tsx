import { ToneBadge } from '../../../components/ToneBadge';
import type { Tone } from '../../../components/tones';

const TONES: Record<string, Tone> = { ERROR: 'failure', WARNING: 'warning', INFO: 'neutral' };

/** The level of a log row. */
export function LevelBadge({ level }: { level: string }) {
  return <ToneBadge tone={TONES[level] ?? 'neutral'}>{level}</ToneBadge>;
}
