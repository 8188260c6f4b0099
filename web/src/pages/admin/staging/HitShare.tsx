import { Text } from '@mantine/core';
import { percent } from '../../../components/format';
import { textIn, type Tone } from '../../../components/tones';

/** Shares of hits below which a pool is shown as failed or as partly working. */
const TONES: [number, Tone][] = [
  [0.5, 'failure'],
  [0.9, 'warning'],
];

/** The share of launches that a pool served, colored by its quality. A paused pool serves none, so its share has no color. */
export function HitShare({ rate, isPaused }: { rate: number; isPaused: boolean }) {
  const judged = isPaused ? undefined : TONES.find(([below]) => rate < below);
  const tone = judged?.[1] ?? 'neutral';
  return (
    <Text span inherit className="number" c={textIn(tone)} data-tone={tone}>
      {percent(rate)}
    </Text>
  );
}
