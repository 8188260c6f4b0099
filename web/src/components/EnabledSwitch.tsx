import { Switch } from '@mantine/core';
import { useAction } from './useAction';

interface Props {
  enabled: boolean;
  /** Name of the thing, for people who hear the page. */
  name: string;
  /** List that shows it. */
  list: string;
  disabled?: boolean;
  onChange: (enabled: boolean) => Promise<unknown>;
}

/** The toggle of a row: moves at once, and back when the server refuses. */
export function EnabledSwitch({ enabled, name, list, disabled, onChange }: Props) {
  const change = useAction(onChange, [list], `${name} was not changed`);
  const shown = change.isPending ? change.variables : enabled;
  return (
    <Switch
      aria-label={`Enabled: ${name}`}
      checked={shown}
      disabled={disabled ?? false}
      onChange={(event) => change.mutate(event.currentTarget.checked)}
    />
  );
}
