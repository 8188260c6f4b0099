import type { ReactNode } from 'react';
import styles from './ToneBadge.module.css';
import type { Tone } from './tones';

interface Props {
  tone: Tone;
  /** A sentence about the word. */
  hint?: string | undefined;
  children: ReactNode;
}

/** A word in the color of its meaning. */
export function ToneBadge({ tone, hint, children }: Props) {
  return (
    <span
      className={hint ? `${styles.badge} mantine-focus-auto` : styles.badge}
      data-tone={tone}
      {...(hint ? { tabIndex: 0, 'data-hint': hint } : {})}
    >
      {children}
    </span>
  );
}
