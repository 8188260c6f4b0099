import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { changedSince } from './changes';
import { showDone, showError } from './feedback';

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
  showReversible(
    message,
    async () => {
      const newer = changedSince(saved, await read());
      if (newer.length > 0) {
        const titles = newer.map(titleOf).join(', ');
        throw new Error(t`This was changed again since: ${titles}.`);
      }
      await restore();
    },
    t`The former values apply again.`,
  );
}

/** A notice about an action with the button Undo, which runs `undo` and then shows `undone`. */
export function showReversible(message: string, undo: () => Promise<unknown>, undone = t`The action is undone.`): void {
  const id = `undo-${crypto.randomUUID()}`;
  const reverse = async () => {
    notifications.hide(id);
    try {
      await undo();
      showDone(undone);
    } catch (error) {
      showError(t`Not undone`, error);
    }
  };
  notifications.show({
    id,
    withBorder: true,
    color: 'accent',
    autoClose: SHOWN_MS,
    closeButtonProps: { 'aria-label': t`Dismiss` },
    message: (
      <Group justify="space-between" wrap="nowrap" gap="sm">
        <span>{message}</span>
        <Button variant="default" size="compact-sm" onClick={() => void reverse()}>
          <Trans>Undo</Trans>
        </Button>
      </Group>
    ),
  });
}
