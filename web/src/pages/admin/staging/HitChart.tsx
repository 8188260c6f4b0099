import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Group, Text } from '@mantine/core';
import type { StagingHistory } from '../../../api/types';
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
  const allHits = total((each) => each.hits);
  const allMisses = total((each) => each.misses);
  const said = t`Launches per hour of the last 7 days: ${plural(allHits, {
    one: '# hit',
    other: '# hits',
  })} and ${plural(allMisses, { one: '# miss', other: '# misses' })}`;
  return (
    <>
      <Group justify="space-between" mb="xs">
        <Text size="sm" c="dimmed">
          <Trans>Launches per hour, last 7 days; highest: {most}</Trans>
        </Text>
        <Group gap="md">
          <Key color={HIT} word={t`hits`} />
          <Key color={MISS} word={t`misses`} />
        </Group>
      </Group>
      <svg
        role="img"
        aria-label={said}
        viewBox={`0 0 ${byHour.length * STEP} ${HEIGHT}`}
        preserveAspectRatio="none"
        width="100%"
        height={HEIGHT}
        className={styles.chart}
      >
        {byHour.map(({ begin, hits, misses }, index) =>
          hits + misses === 0 ? null : (
            <g key={begin} transform={`translate(${index * STEP} 0)`}>
              <title>{barTitle(absolute(begin), hits, misses)}</title>
              <rect width={BAR} y={HEIGHT - hits * scale} height={hits * scale} fill={HIT} />
              <rect width={BAR} y={HEIGHT - (hits + misses) * scale} height={misses * scale} fill={MISS} />
            </g>
          ),
        )}
      </svg>
      <Group justify="space-between" aria-hidden className={styles.axis}>
        <Text size="xs" c="dimmed">
          <Trans>7 days ago</Trans>
        </Text>
        <Text size="xs" c="dimmed">
          <Trans>now</Trans>
        </Text>
      </Group>
    </>
  );
}

function barTitle(time: string, hits: number, misses: number): string {
  return t`${time}: ${plural(hits, { one: '# hit', other: '# hits' })}, ${plural(misses, {
    one: '# miss',
    other: '# misses',
  })}`;
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
