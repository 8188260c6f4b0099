import { Switch } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import type { ReactNode } from 'react';
import { ConfirmDialog } from './Confirm';
import { useAction } from './useAction';

interface Props {
  enabled: boolean;
  /** Name of the thing, e.g. "Manager manager-1". */
  name: string;
  /** List that shows it. */
  list: string;
  disabled?: boolean;
  /** What has to be known before it is disabled; without it nothing is asked. */
  consequence?: ReactNode;
  /** The name is shown beside it. */
  labelled?: boolean;
  onChange: (enabled: boolean) => Promise<unknown>;
}

/** The toggle of a thing: moves at once, and back when the server refuses. */
export function EnabledSwitch(props: Props) {
  const { enabled, name, list, disabled = false, consequence, labelled = false, onChange } = props;
  const change = useAction(onChange, [list], `${name} was not changed`);
  const [asking, { open, close }] = useDisclosure(false);
  const shown = change.isPending ? change.variables : enabled;
  return (
    <>
      <Switch
        aria-label={`Enabled: ${name}`}
        {...(labelled ? { label: 'Enabled' } : {})}
        checked={shown}
        disabled={disabled}
        onChange={({ currentTarget: { checked } }) => (!checked && consequence ? open() : change.mutate(checked))}
      />
      <ConfirmDialog
        opened={asking}
        onClose={close}
        title={`Disable ${name}?`}
        action="Disable"
        onConfirm={() => onChange(false)}
        touched={[list]}
      >
        {consequence}
      </ConfirmDialog>
    </>
  );
}
