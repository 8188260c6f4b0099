import { t } from '@lingui/core/macro';
import { NumberInput, type NumberInputProps } from '@mantine/core';
import { useState } from 'react';
import styles from './AmountInput.module.css';
import { decimal, unitOf } from './format';
import { bestUnit, fromUnit, inUnit, type Unit, unitsOf } from './units';

type Value = number | '';

interface Props extends Omit<NumberInputProps, 'value' | 'onChange' | 'suffix' | 'rightSection' | 'rightSectionWidth'> {
  /** The unit of `value`: s, min or days for times, MB or B for sizes, or a noun such as attempts. */
  unit: string;
  /** A number of base units; anything else is an empty field. */
  value?: unknown;
  onChange: (value: Value) => void;
  /** The name of the field for the choice of the unit. The default is the label. */
  name?: string;
}

/** The shown number, which can be incomplete text such as `1.`, and its unit. */
interface Shown {
  value: unknown;
  unit: Unit;
  amount: number | string;
}

function shownFor(value: unknown, base: string): Shown {
  const unit = bestUnit(value, base);
  return { value, unit, amount: typeof value === 'number' ? inUnit(value, unit) : '' };
}

/** A number with its unit. Times and sizes can be entered in larger units, such as hours and GB. */
export function AmountInput({ unit: base, value, onChange, name, ...input }: Props) {
  const units = unitsOf(base);
  const [entered, setEntered] = useState(shownFor(value, base));
  // Another value than the one entered here comes from Discard or from the server, and has its own best unit.
  const { unit, amount } = Object.is(entered.value, value) ? entered : shownFor(value, base);
  const change = (next: number | string, inThis = unit) => {
    const number = next === '' ? NaN : Number(next);
    const changed = Number.isFinite(number) ? fromUnit(number, inThis, base) : '';
    setEntered({ value: changed, unit: inThis, amount: next });
    onChange(changed);
  };
  const label = typeof input.label === 'string' ? input.label : (name ?? input['aria-label'] ?? '');
  return (
    <NumberInput
      {...input}
      hideControls
      decimalScale={9}
      decimalSeparator={decimal(1.5, 1).charAt(1)}
      allowedDecimalSeparators={['.', ',']}
      suffix={units.length > 0 || !base ? '' : ` ${unitOf(amount, base)}`}
      value={amount}
      onChange={(next) => change(next)}
      {...(units.length > 0 && {
        rightSectionWidth: 104,
        rightSectionPointerEvents: 'all' as const,
        rightSection: (
          <select
            className={styles.unit}
            aria-label={t`Unit: ${label}`}
            disabled={input.disabled}
            value={unit.name}
            onChange={({ currentTarget }) => {
              const next = units.find((each) => each.name === currentTarget.value);
              if (next) change(amount, next);
            }}
          >
            {units.map((each) => (
              <option key={each.name} value={each.name}>
                {unitOf('', each.name)}
              </option>
            ))}
          </select>
        ),
      })}
    />
  );
}
