import type { ReactNode } from 'react';
import styles from './Part.module.css';

/** A part of a page, below its title. */
export function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section className={styles.part} aria-label={title}>
      <h2 className={styles.title}>{title}</h2>
      {children}
    </section>
  );
}
