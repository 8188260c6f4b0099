import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { Component, type ReactNode } from 'react';
import styles from './ErrorBoundary.module.css';

/** The messages of browsers for a module that could not be loaded. */
const NOT_FETCHED = /dynamically imported module|importing a module script failed|preload CSS/i;

/** Replaces a failed page with the reason and the actions that help. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    const isFetch = NOT_FETCHED.test(this.state.error.message);
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
