import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { Component, type ReactNode } from 'react';
import { isNotFetched } from '../components/lazily';
import styles from './ErrorBoundary.module.css';

interface Props {
  children: ReactNode;
  /** Replaces a failed part of a page. */
  instead?: (error: Error) => ReactNode;
}

/** Replaces a failed page with the reason and the actions that help. */
export class ErrorBoundary extends Component<Props, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    if (this.props.instead) return this.props.instead(this.state.error);
    const isFetch = isNotFetched(this.state.error);
    return (
      <div className={styles.page}>
        <h1>{isFetch ? t`A part of this page did not load` : t`This page has an error`}</h1>
        <p>
          {isFetch
            ? t`Your sessions are not affected. Check your network and reload.`
            : t`Your sessions are not affected. Reload the page.`}
        </p>
        <pre>{this.state.error.message}</pre>
        <Button onClick={() => location.reload()}>
          <Trans>Reload</Trans>
        </Button>
        <Button variant="subtle" component="a" href="/">
          <Trans>To the workspaces</Trans>
        </Button>
      </div>
    );
  }
}
