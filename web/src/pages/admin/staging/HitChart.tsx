import { Group, Text } from '@mantine/core';
import type { StagingHistory } from '../../../api/types';
import { counted } from '../../../components/format';
import { absolute } from '../../../components/TimeAgo';
import styles from './HitChart.module.css';

const HEIGHT = 72;
const STEP = 6;
const BAR = 5;
const HIT = 'var(--gr-chart-1)';
const MISS = 'var(--gr-chart-3)';

/** The launches of each hour as stacked bars: hits at the bottom, misses above. */
export function HitChart({ byHour }: { byHour: StagingHistory['by_hour'] }) {
  const most = Math.max(1, ...byHour.map(({ hits, misses }) => hits + misses));
  const scale = HEIGHT / most;
  const total = (pick: (hour: (typeof byHour)[number]) => number) => byHour.reduce((sum, each) => sum + pick(each), 0);
  const said = `${counted(
    total((each) => each.hits),
    'hit',
  )} and ${counted(
    total((each) => each.misses),
    'miss',
    'misses',
  )}`;
  return (
    <>
      <Group justify="space-between" mb="xs">
        <Text size="sm" c="dimmed">
          Launches per hour, last 7 days; highest: {most}
        </Text>
        <Group gap="md">
          <Key color={HIT} word="hits" />
          <Key color={MISS} word="misses" />
        </Group>
      </Group>
      <svg
        role="img"
        aria-label={`Launches per hour of the last 7 days: ${said}`}
        viewBox={`0 0 ${byHour.length * STEP} ${HEIGHT}`}
        preserveAspectRatio="none"
        width="100%"
        height={HEIGHT}
        className={styles.chart}
      >
        {byHour.map(({ begin, hits, misses }, index) =>
          hits + misses === 0 ? null : (
            <g key={begin} transform={`translate(${index * STEP} 0)`}>
              <title>{`${absolute(begin)}: ${counted(hits, 'hit')}, ${counted(misses, 'miss', 'misses')}`}</title>
              <rect width={BAR} y={HEIGHT - hits * scale} height={hits * scale} fill={HIT} />
              <rect width={BAR} y={HEIGHT - (hits + misses) * scale} height={misses * scale} fill={MISS} />
            </g>
          ),
        )}
      </svg>
      <Group justify="space-between" aria-hidden>
        <Text size="xs" c="dimmed">
          7 days ago
        </Text>
        <Text size="xs" c="dimmed">
          now
        </Text>
      </Group>
    </>
  );
}

function Key({ color, word }: { color: string; word: string }) {
  return (
    <Group gap={6}>
      <svg width={10} height={10} aria-hidden>
        <rect width={10} height={10} rx={2} fill={color} />
      </svg>
      <Text size="xs">{word}</Text>
    </Group>
  );
}
