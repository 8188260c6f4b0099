import { NativeSelect, NumberInput, type NumberInputProps } from '@mantine/core';
import { useState } from 'react';
import { unitOf } from './format';
import { bestUnit, fromUnit, inUnit, unitsOf } from './units';

type Value = number | '';

interface Props extends Omit<NumberInputProps, 'value' | 'onChange' | 'suffix' | 'rightSection' | 'rightSectionWidth'> {
  /** The unit of `value`: s, min or days for times, MB or B for sizes, or a noun such as attempts. */
  unit: string;
  value: unknown;
  onChange: (value: Value) => void;
  /** The name of the field for the choice of the unit. The default is the label. */
  name?: string;
}

/** A number with its unit. Times and sizes can be entered in larger units, such as hours and GB. */
export function AmountInput({ unit: base, value, onChange, name, ...input }: Props) {
  const units = unitsOf(base);
  const [chosen, setChosen] = useState({ value, unit: bestUnit(value, base) });
  // Another value than the one entered here comes from Discard or from the server, and has its own best unit.
  const unit = Object.is(chosen.value, value) ? chosen.unit : bestUnit(value, base);
  const amount = typeof value === 'number' ? inUnit(value, unit) : '';
  const change = (next: number | string, inThis = unit) => {
    const entered = typeof next === 'number' ? fromUnit(next, inThis, base) : '';
    setChosen({ value: entered, unit: inThis });
    onChange(entered);
  };
  const label = typeof input.label === 'string' ? input.label : (name ?? input['aria-label'] ?? '');
  return (
    <NumberInput
      {...input}
      hideControls
      decimalScale={9}
      suffix={units.length > 0 || !base ? '' : ` ${unitOf(amount, base)}`}
      value={amount}
      onChange={(next) => change(next)}
      {...(units.length > 0 && {
        rightSectionWidth: 104,
        rightSectionPointerEvents: 'all' as const,
        rightSection: (
          <NativeSelect
            variant="unstyled"
            size="xs"
            aria-label={`Unit: ${label}`}
            disabled={input.disabled}
            data={units.map((each) => each.name)}
            value={unit.name}
            onChange={({ currentTarget }) => {
              const next = units.find((each) => each.name === currentTarget.value);
              if (next && amount !== '') change(amount, next);
              else if (next) setChosen({ value, unit: next });
            }}
          />
        ),
      })}
    />
  );
}
