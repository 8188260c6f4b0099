import { SegmentedControl } from '@mantine/core';
import type { KeyboardEvent } from 'react';

type Choice = 'deny' | 'inherit' | 'allow';

const VALUES: Record<Choice, boolean | null> = { deny: false, inherit: null, allow: true };
const CHOICES = Object.keys(VALUES) as Choice[];
const BACK = ['ArrowLeft', 'ArrowUp'];
const ON = ['ArrowRight', 'ArrowDown'];

interface Props {
  label: string;
  /** Null = nothing is said here, and what is inherited holds. */
  value: boolean | null;
  inherited: boolean;
  disabled: boolean;
  onChange: (value: boolean | null) => void;
}

/**
 * Deny, inherit or allow; each choice is saved at once.
 *
 * "Inherit" stands between the two, so that the arrow keys lead from it to either without passing the other, and they
 * stop at both ends: nothing that is meant to forbid ever allows for a moment.
 */
export function ThreeWay({ label, value, inherited, disabled, onChange }: Props) {
  const chosen = CHOICES.find((choice) => VALUES[choice] === value) ?? 'inherit';
  const stopAtEnds = (event: KeyboardEvent) => {
    const atEnd = (BACK.includes(event.key) && chosen === 'deny') || (ON.includes(event.key) && chosen === 'allow');
    if (atEnd) event.preventDefault();
  };
  return (
    <SegmentedControl
      aria-label={label}
      size="xs"
      withItemsBorders={false}
      disabled={disabled}
      data={[
        { value: 'deny', label: 'Deny' },
        { value: 'inherit', label: `Inherit (${inherited ? 'yes' : 'no'})` },
        { value: 'allow', label: 'Allow' },
      ]}
      value={chosen}
      onChange={(next) => onChange(VALUES[next])}
      onKeyDown={stopAtEnds}
    />
  );
}
