import { t } from '@lingui/core/macro';
import { Switch } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { ConfirmDialog } from './Confirm';
import { showReversible } from './undo';
import { useAction } from './useAction';

interface Props {
  enabled: boolean;
  /** The name of the item, e.g. "Manager manager-1". */
  name: string;
  /** The list that contains the item. */
  list: string;
  disabled?: boolean;
  /** The consequence of disabling. Without it, no confirmation is shown. */
  consequence?: ReactNode;
  /** Shows the label next to the switch. */
  labeled?: boolean;
  /** The question before disabling is open at first. */
  asked?: boolean;
  onChange: (enabled: boolean) => Promise<unknown>;
}

/** The switch of an item. It changes immediately, and back if the server refuses the change. A notice offers to undo it. */
export function EnabledSwitch(props: Props) {
  const { enabled, name, list, disabled = false, consequence, labeled = false, asked = false, onChange } = props;
  const queries = useQueryClient();
  const set = async (next: boolean) => {
    await onChange(next);
    showReversible(next ? t`${name} is enabled.` : t`${name} is disabled.`, async () => {
      await onChange(!next);
      await queries.invalidateQueries({ queryKey: [list] });
    });
  };
  const change = useAction(set, [list], t`${name} was not changed`);
  const [asking, { open, close }] = useDisclosure(asked && enabled && !disabled);
  const shown = change.isPending ? change.variables : enabled;
  return (
    <>
      <Switch
        aria-label={t`Enabled: ${name}`}
        {...(labeled ? { label: t`Enabled` } : {})}
        checked={shown}
        disabled={disabled}
        onChange={({ currentTarget: { checked } }) => (!checked && consequence ? open() : change.mutate(checked))}
      />
      <ConfirmDialog
        opened={asking}
        onClose={close}
        title={t`Disable ${name}?`}
        action={t`Disable`}
        onConfirm={() => set(false)}
        touched={[list]}
      >
        {consequence}
      </ConfirmDialog>
    </>
  );
}
