import { Badge } from '@mantine/core';
import { type Tone, textIn } from '../../../components/tones';

const TONES: Record<string, Tone> = { ERROR: 'failure', WARNING: 'warning', INFO: 'neutral' };

/** The level of a log row. */
export function LevelBadge({ level }: { level: string }) {
  const tone = TONES[level] ?? 'neutral';
  return (
    <Badge variant="light" color={tone} miw="max-content" styles={{ label: { color: textIn(tone) } }}>
      {level}
    </Badge>
  );
}
