import { type ReactNode, useEffect } from 'react';
import { useBranding } from '../api/branding';
import styles from './PageHeader.module.css';

interface Props {
  title: string;
  /** One sentence: a description of the page, or the counts. */
  children?: ReactNode;
  actions?: ReactNode;
}

/** The heading of a page. It also sets the title of the browser tab. */
export function PageHeader({ title, children, actions }: Props) {
  const { name } = useBranding();
  useEffect(() => {
    document.title = `${title} · ${name}`;
  }, [title, name]);
  return (
    <div className={styles.header}>
      <div className={styles.words}>
        <h1 className={styles.title}>{title}</h1>
        {children && <div className={styles.note}>{children}</div>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </div>
  );
}
