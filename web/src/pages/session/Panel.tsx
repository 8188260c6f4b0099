import { CloseButton } from '@mantine/core';
import type { ReactNode } from 'react';
import styles from './Panel.module.css';

interface Props {
  title: string;
  /** The name of the region for screen readers, if it is not the title. */
  label?: string;
  /** The label of the button that closes the panel. */
  close: string;
  onClose: () => void;
  /** Whether the button that closes the panel gets the focus. */
  focusesClose?: boolean;
  children: ReactNode;
}

/** A panel over the desktop of a session. On a phone it comes from below. */
export function Panel({ title, label = title, close, onClose, focusesClose = false, children }: Props) {
  return (
    <section aria-label={label} className={styles.panel}>
      <div className={styles.head}>
        <h2>{title}</h2>
        <CloseButton size="lg" aria-label={close} onClick={onClose} autoFocus={focusesClose} />
      </div>
      <div className={styles.content}>{children}</div>
    </section>
  );
}
