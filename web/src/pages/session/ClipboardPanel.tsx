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
        showError('The browser does not allow this page to read the clipboard', error),
      );
  const copy = () =>
    navigator.clipboard.writeText(page.clipboard ?? '').then(
      () => showDone('Copied to this computer'),
      (error: unknown) => showError('Not copied', error),
    );
  return (
    <Panel title="Clipboard" close="Close the clipboard" onClose={onClose}>
      {ways && !ways.in && <Closed setting="allow_kasm_clipboard_up">Nothing may be copied into this session</Closed>}
      <Textarea
        label="To the session"
        disabled={ways?.in === false}
        placeholder="Type or paste here"
        rows={3}
        data-autofocus
        autoFocus
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
      />
      <div className={styles.pair}>
        <Button variant="default" onClick={() => void paste()}>
          Paste here
        </Button>
        <Button disabled={!text || ways?.in === false} onClick={() => page.sendClipboard(text)}>
          Send
        </Button>
      </div>
      {ways && !ways.out && (
        <Closed setting="allow_kasm_clipboard_down">Nothing may be copied from this session</Closed>
      )}
      <Textarea
        label="From the session"
        readOnly
        rows={3}
        value={page.clipboard ?? ''}
        placeholder="Copy something in the session"
      />
      <Button variant="default" disabled={!page.clipboard} onClick={() => void copy()}>
        Copy to this computer
      </Button>
      {ways && (ways.in || ways.out) && (
        <p className={styles.quiet}>Pictures are copied automatically if the browser allows it.</p>
      )}
    </Panel>
  );
}

/** The notice that one direction is disabled, with the setting. */
function Closed({ setting, children }: { setting: string; children: string }) {
  return (
    <p className={styles.quiet} role="note">
      {children}: {settingTitle(setting)} is off for your group.
    </p>
  );
}
