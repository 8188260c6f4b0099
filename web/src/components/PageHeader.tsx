import { type ReactNode, useEffect } from 'react';
import { useBranding } from '../api/branding';
import { useIsInPanel } from './address';
import styles from './PageHeader.module.css';

interface Props {
  title: string;
  /** One sentence: a description of the page, or the counts. */
  children?: ReactNode;
  actions?: ReactNode;
}

/** The heading of a page, or of the panel beside a list. That of a page also sets the title of the browser tab. */
export function PageHeader({ title, children, actions }: Props) {
  const { name } = useBranding();
  const isInPanel = useIsInPanel();
  const Title = isInPanel ? 'h2' : 'h1';
  useEffect(() => {
    if (!isInPanel) document.title = `${title} · ${name}`;
  }, [title, name, isInPanel]);
  return (
    <div className={styles.header}>
      <div className={styles.words}>
        <Title className={styles.title}>{title}</Title>
        {children && <div className={styles.note}>{children}</div>}
      </div>
      {actions && <div className={styles.actions}>{actions}</div>}
    </div>
  );
}
