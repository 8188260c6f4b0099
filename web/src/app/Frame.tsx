import { Trans } from '@lingui/react/macro';
import type { ReactNode } from 'react';
import styles from './Frame.module.css';

interface Props {
  header: ReactNode;
  /** The navigation. It is beside the page, or on a narrow screen over it. */
  side?: ReactNode;
  /** Whether the navigation is shown on a narrow screen. */
  isSideOpen?: boolean;
  children: ReactNode;
}

/** The frame of a page: header, navigation and content. */
export function Frame({ header, side, isSideOpen = false, children }: Props) {
  return (
    <div className={styles.frame} data-side={side ? true : undefined}>
      <a className={styles.skip} href="#content">
        <Trans>To the content</Trans>
      </a>
      <header className={styles.header}>{header}</header>
      {side && (
        <div className={styles.side} data-open={isSideOpen}>
          {side}
        </div>
      )}
      <main id="content" tabIndex={-1} className={styles.main}>
        {children}
      </main>
    </div>
  );
}
