import { t } from '@lingui/core/macro';
import { SegmentedControl } from '@mantine/core';
import type { KeyboardEvent } from 'react';

type Choice = 'deny' | 'inherit' | 'allow';

const VALUES: Record<Choice, boolean | null> = { deny: false, inherit: null, allow: true };
const CHOICES = Object.keys(VALUES) as Choice[];
const BACK = ['ArrowLeft', 'ArrowUp'];
const ON = ['ArrowRight', 'ArrowDown'];

interface Props {
  label: string;
  /** Null = no own value: the inherited value applies. */
  value: boolean | null;
  inherited: boolean;
  disabled: boolean;
  onChange: (value: boolean | null) => void;
}

/**
 * Deny, inherit or allow.
 *
 * "Inherit" is in the middle, so that the arrow keys reach both other choices without passing the opposite one. The keys
 * stop at both ends, so that a change to Deny never chooses Allow first.
 */
export function ThreeWay({ label, value, inherited, disabled, onChange }: Props) {
  const chosen = CHOICES.find((choice) => VALUES[choice] === value) ?? 'inherit';
  const stopAtEnds = (event: KeyboardEvent) => {
    const atEnd = (BACK.includes(event.key) && chosen === 'deny') || (ON.includes(event.key) && chosen === 'allow');
    if (atEnd) event.preventDefault();
  };
  const inheritedValue = inherited ? t`yes` : t`no`;
  return (
    <SegmentedControl
      aria-label={label}
      size="xs"
      withItemsBorders={false}
      disabled={disabled}
      data={[
        { value: 'deny', label: t`Deny` },
        { value: 'inherit', label: t`Inherit (${inheritedValue})` },
        { value: 'allow', label: t`Allow` },
      ]}
      value={chosen}
      onChange={(next) => onChange(VALUES[next])}
      onKeyDown={stopAtEnds}
    />
  );
}
