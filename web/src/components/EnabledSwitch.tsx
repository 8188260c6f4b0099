import { t } from '@lingui/core/macro';
import { Switch } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type ReactNode, useState } from 'react';
import { useAskedAction } from './askedAction';
import { ConfirmDialog } from './Confirm';
import { useUndoableSwitch } from './undo';
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
  /** Shows the label next to the switch. On the page of the item, the address can ask for a change. */
  labeled?: boolean;
  onChange: (enabled: boolean) => Promise<unknown>;
}

/** The switch of an item. It changes immediately, and back if the server refuses the change. Its notice offers Undo. */
export function EnabledSwitch(props: Props) {
  const { enabled, name, list, disabled = false, consequence, labeled = false, onChange } = props;
  const set = useUndoableSwitch(onChange, [list], (isOn) => (isOn ? t`${name} is enabled.` : t`${name} is disabled.`));
  const change = useAction(set, [list], t`${name} was not changed`);
  const [asking, { open, close }] = useDisclosure(false);
  // The question stays the same while it is open, also if the item changes.
  const [target, setTarget] = useState(false);
  const ask = (isOn: boolean) => {
    setTarget(isOn);
    open();
  };
  const shown = change.isPending ? change.variables : enabled;
  return (
    <>
      <Switch
        aria-label={t`Enabled: ${name}`}
        {...(labeled ? { label: t`Enabled` } : {})}
        checked={shown}
        disabled={disabled}
        onChange={({ currentTarget: { checked } }) => (!checked && consequence ? ask(false) : change.mutate(checked))}
      />
      {labeled && !disabled && <Asked action={enabled ? 'disable' : 'enable'} onAsk={() => ask(!enabled)} />}
      <ConfirmDialog
        opened={asking}
        onClose={close}
        title={target ? t`Enable ${name}?` : t`Disable ${name}?`}
        action={target ? t`Enable` : t`Disable`}
        {...(target ? { color: 'accent' } : {})}
        onConfirm={() => (target === enabled ? Promise.resolve() : set(target))}
        touched={[list]}
      >
        {target ? null : consequence}
      </ConfirmDialog>
    </>
  );
}

/** Asks for the change if the address asks for it. */
function Asked({ action, onAsk }: { action: string; onAsk: () => void }) {
  useAskedAction((asked) => asked === action && onAsk());
  return null;
}
