import { type ReactNode, useEffect } from 'react';
import { useBranding } from '../api/branding';
import styles from './Gate.module.css';

interface Props {
  /** What is above the heading. */
  above?: ReactNode;
  title: string;
  note: ReactNode;
  children: ReactNode;
  /** What is below the form. */
  below?: ReactNode;
}

/** A page with one form in its center: the log-in, and what a log-in requires first. */
export function Gate({ above, title, note, children, below }: Props) {
  const { name } = useBranding();
  useEffect(() => {
    document.title = name;
  }, [name]);
  return (
    <main className={styles.page}>
      <div className={styles.column}>
        <div className={styles.head}>
          {above}
          <h1 className={styles.title}>{title}</h1>
          <p className={styles.note}>{note}</p>
        </div>
        <div className={styles.form}>{children}</div>
        {below}
      </div>
    </main>
  );
}
