import type { ReactNode } from 'react';
import styles from './StageCard.module.css';

interface Props {
  title: string;
  /** The reason. */
  reason: ReactNode;
  /** Further content and the next steps. */
  children: ReactNode;
}

/** The card that is shown instead of a desktop. */
export function StageCard({ title, reason, children }: Props) {
  return (
    <div className={styles.place}>
      <div className={styles.card}>
        <h1>{title}</h1>
        <p className={styles.reason} role="status">
          {reason}
        </p>
        <div className={styles.further}>{children}</div>
      </div>
    </div>
  );
}

interface CoverProps {
  /** Whether the frame below is hidden; else it is dimmed. */
  hides: boolean;
  children: ReactNode;
}

/** A card over the frame of the desktop. */
export function StageCover({ hides, children }: CoverProps) {
  return (
    <div className={hides ? `${styles.cover} stage-backdrop` : styles.cover} data-dim={!hides || undefined}>
      {children}
    </div>
  );
}

/** The buttons of a card, one below the other. */
export function StageButtons({ children }: { children: ReactNode }) {
  return <div className={styles.buttons}>{children}</div>;
}

/** A sentence of less importance. */
export function StageNote({ children }: { children: ReactNode }) {
  return <p className={styles.quiet}>{children}</p>;
}
