import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { changedSince } from './changes';
import { showDone, showError } from './feedback';
import styles from './feedback.module.css';
import { warningsOf } from './saving';

type Values = Record<string, unknown>;

interface Reversal {
  /** The values that were saved. */
  saved: Values;
  /** Reads the present values. */
  read: () => Promise<Values>;
  /** Writes the former values back. */
  restore: () => Promise<unknown>;
  /** The title of a value, for the sentence about a value that was changed since. */
  titleOf?: (name: string) => string;
}

const SHOWN_MS = 20_000;

/** A notice about saved values with the button Undo, which restores the former values if no user changed them since. */
export function showUndo(message: string, { saved, read, restore, titleOf = (name) => name }: Reversal): void {
  offerUndo(message, async () => {
    const newer = changedSince(saved, await read());
    const titles = newer.map(titleOf).join(', ');
    if (titles) throw new Error(t`This was changed again since: ${titles}.`);
    await restore();
  });
}

/** What a notice is about → its id. */
const shown = new Map<string, string>();

/**
 * A notice with the button Undo, which calls `restore`. If it fails, another notice has the reason. A notice replaces the
 * earlier one `about` the same, which would contradict it.
 */
function offerUndo(message: string, restore: () => Promise<unknown>, color = 'accent', about = message): void {
  const id = `undo-${crypto.randomUUID()}`;
  notifications.hide(shown.get(about) ?? '');
  shown.set(about, id);
  const undo = async () => {
    notifications.hide(id);
    try {
      await restore();
      showDone(t`The former values apply again.`);
    } catch (error) {
      showError(t`Not undone`, error);
    }
  };
  notifications.show({
    id,
    withBorder: true,
    color,
    autoClose: SHOWN_MS,
    closeButtonProps: { 'aria-label': t`Dismiss` },
    message: (
      <Group justify="space-between" wrap="nowrap" gap="sm">
        <span className={styles.words}>{message}</span>
        <Button flex="none" variant="default" size="compact-sm" onClick={() => void undo()}>
          <Trans>Undo</Trans>
        </Button>
      </Group>
    ),
  });
}

/**
 * A function that runs a change. Its notice is `done` with the warnings of the server, and the button Undo, which calls
 * `reverse` and reads the lists in `touched` again. It replaces the earlier notice `about` the same.
 */
export function useUndoable(
  touched: string[],
): (run: () => Promise<unknown>, reverse: () => Promise<unknown>, done: string, about: string) => Promise<void> {
  const queries = useQueryClient();
  return async (run, reverse, done, about) => {
    const warnings = warningsOf(await run());
    const undo = async () => {
      await reverse();
      await Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
    };
    offerUndo([done, ...warnings].join(' '), undo, warnings.length > 0 ? 'warning' : 'accent', about);
  };
}

/** A function that switches something on or off, and offers to switch it back; see `useUndoable`. */
export function useUndoableSwitch(
  set: (isOn: boolean) => Promise<unknown>,
  touched: string[],
  done: (isOn: boolean) => string,
): (isOn: boolean) => Promise<void> {
  const change = useUndoable(touched);
  return (isOn) =>
    change(
      () => set(isOn),
      () => set(!isOn),
      done(isOn),
      done(true),
    );
}
