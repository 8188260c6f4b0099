import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Textarea } from '@mantine/core';
import { useState } from 'react';
import { showDone, showError } from '../../components/feedback';
import { settingTitle } from '../../components/titles';
import { Panel } from './Panel';
import styles from './Panel.module.css';
import type { FramePage } from './useFramePage';

/** Copies text between this computer and the session if the browser does not do so automatically. */
export function ClipboardPanel({ page, onClose }: { page: FramePage; onClose: () => void }) {
  const [text, setText] = useState('');
  const ways = page.clipboardWays;
  const paste = () =>
    navigator.clipboard
      .readText()
      .then(setText, (error: unknown) =>
        showError(t`The browser does not allow this page to read the clipboard. Press Ctrl+V in the field`, error),
      );
  const copy = () =>
    navigator.clipboard.writeText(page.clipboard ?? '').then(
      () => showDone(t`Copied to this computer`),
      (error: unknown) => showError(t`Not copied`, error),
    );
  const up = settingTitle('allow_kasm_clipboard_up');
  const down = settingTitle('allow_kasm_clipboard_down');
  return (
    <Panel title={t`Clipboard`} close={t`Close the clipboard`} onClose={onClose}>
      {ways && !ways.in && <Closed>{t`Nothing may be copied into this session: ${up} is off for your group.`}</Closed>}
      <Textarea
        label={t`To the session`}
        disabled={ways?.in === false}
        placeholder={t`Type or paste here`}
        rows={3}
        data-autofocus
        autoFocus
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <div className={styles.pair}>
        <Button variant="default" onClick={() => void paste()}>
          <Trans>Paste here</Trans>
        </Button>
        <Button disabled={!text || ways?.in === false} onClick={() => page.sendClipboard(text)}>
          <Trans>Send</Trans>
        </Button>
      </div>
      {ways && !ways.out && (
        <Closed>{t`Nothing may be copied from this session: ${down} is off for your group.`}</Closed>
      )}
      <Textarea
        label={t`From the session`}
        readOnly
        rows={3}
        value={page.clipboard ?? ''}
        placeholder={t`Copy something in the session`}
      />
      <Button variant="default" disabled={!page.clipboard} onClick={() => void copy()}>
        <Trans>Copy to this computer</Trans>
      </Button>
      {ways && (ways.in || ways.out) && (
        <p className={styles.quiet}>
          <Trans>Pictures are copied automatically if the browser allows it.</Trans>
        </p>
      )}
    </Panel>
  );
}

/** The notice that one direction is disabled, with the setting. */
function Closed({ children }: { children: string }) {
  return (
    <p className={styles.quiet} role="note">
      {children}
    </p>
  );
}
