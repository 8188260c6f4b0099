import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { useQueryClient } from '@tanstack/react-query';
import { changedSince } from './changes';
import { showDone, showError } from './feedback';
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

/** A notice with the button Undo, which calls `restore`. If it fails, another notice has the reason. */
function offerUndo(message: string, restore: () => Promise<unknown>, color = 'accent'): void {
  const id = `undo-${crypto.randomUUID()}`;
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
        <span>{message}</span>
        <Button variant="default" size="compact-sm" onClick={() => void undo()}>
          <Trans>Undo</Trans>
        </Button>
      </Group>
    ),
  });
}

/**
 * A function that runs a change. Its notice is `done` with the warnings of the server, and the button Undo, which calls
 * `reverse` and reads the lists in `touched` again.
 */
export function useUndoable(
  touched: string[],
): (run: () => Promise<unknown>, reverse: () => Promise<unknown>, done: string) => Promise<void> {
  const queries = useQueryClient();
  return async (run, reverse, done) => {
    const warnings = warningsOf(await run());
    const undo = async () => {
      await reverse();
      await Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] })));
    };
    offerUndo([done, ...warnings].join(' '), undo, warnings.length > 0 ? 'warning' : 'accent');
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
    );
}
