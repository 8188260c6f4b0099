import { plural, t } from '@lingui/core/macro';
import { useState } from 'react';
import type { StageSession } from '../api/stageMap';
import { type Looks, OTHER, type Shape } from './looks';
import styles from './legend.module.css';

interface Props {
  sessions: StageSession[];
  looks: Looks;
  only: string | null;
  onOnly: (imageId: string | null) => void;
}

const SHAPES: { shape: Shape | 'staged'; word: string }[] = [
  { shape: 'ready', word: t`in use` },
  { shape: 'staged', word: t`staged` },
  { shape: 'moving', word: t`starting or ending` },
  { shape: 'resting', word: t`stopped or paused` },
  { shape: 'failed', word: t`failed or lost` },
];

/** The number of gray workspaces that are always listed. */
const MOST_OTHERS = 3;

/** The colors of the workspaces and the shapes of the states. A workspace is a button that marks its sessions. */
export function Legend({ sessions, looks, only, onOnly }: Props) {
  const names = new Map(sessions.map(({ image_id, image_friendly_name }) => [image_id, image_friendly_name]));
  const workspaces = [...names]
    .map(([id, name]) => ({ id, name, color: looks.get(id) ?? OTHER }))
    .sort((a, b) => a.color - b.color || a.name.localeCompare(b.name));
  const [isWhole, setWhole] = useState(false);
  const others = workspaces.filter(({ color }) => color === OTHER).length;
  const listed = isWhole || others <= MOST_OTHERS ? workspaces : workspaces.slice(0, workspaces.length - others);
  return (
    <ul className={styles.legend} aria-label={t`Legend`}>
      {listed.map(({ id, name, color }) => (
        <li key={id}>
          <button
            type="button"
            className={styles.workspace}
            aria-pressed={only === id}
            data-hint={t`Mark the sessions of ${name}`}
            onClick={() => onOnly(only === id ? null : id)}
          >
            <Mark color={color} shape="ready" />
            <span className={styles.name}>{name}</span>
          </button>
        </li>
      ))}
      {others > MOST_OTHERS && (
        <li>
          <button type="button" className={styles.workspace} aria-expanded={isWhole} onClick={() => setWhole(!isWhole)}>
            <Mark color={OTHER} shape="ready" />
            {isWhole ? t`Fewer workspaces` : plural(others, { one: '# other workspace', other: '# other workspaces' })}
          </button>
        </li>
      )}
      <li>
        <ul className={styles.shapes} aria-label={t`States`}>
          {SHAPES.map(({ shape, word }) => (
            <li key={shape} data-shape={shape}>
              <Mark color={shape === 'failed' ? 'failure' : OTHER} shape={shape} />
              {word}
            </li>
          ))}
        </ul>
      </li>
    </ul>
  );
}

function Mark({ color, shape }: { color: number | 'failure'; shape: Shape | 'staged' }) {
  return (
    <svg className={styles.mark} data-color={color} viewBox="-6 -6 12 12" aria-hidden>
      {shape === 'ready' && <circle r={5} fill="currentColor" />}
      {shape === 'moving' && <circle r={2.75} fill="currentColor" />}
      {shape === 'resting' && <path d="M-5-2H5V2H-5z" fill="currentColor" />}
      {shape === 'staged' && <circle r={4.25} fill="none" stroke="currentColor" strokeWidth={1.75} />}
      {shape === 'failed' && <path d="m-4-4 8 8m0-8-8 8" stroke="currentColor" strokeWidth={1.75} />}
    </svg>
  );
}
