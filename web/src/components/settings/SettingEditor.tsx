import { Autocomplete, Select, Switch } from '@mantine/core';
import { useState } from 'react';
import type { Setting } from '../../api/types';
import { AmountInput } from '../AmountInput';
import { isSame } from '../changes';
import { jsonProblem, jsonText, parsedJson } from '../json';
import { JsonField } from '../JsonField';

interface Props {
  setting: Setting;
  value: unknown;
  disabled: boolean;
  /** The names to choose from for a text. */
  known?: string[] | undefined;
  /** The reason why the value cannot be saved. */
  problem?: string | undefined;
  onChange: (value: unknown) => void;
  /** Text that is no value, such as incomplete JSON; null = it is one again. */
  onInvalid: (problem: string | null) => void;
}

/** The field for the kind of the setting. */
export function SettingEditor(props: Props) {
  const { setting, value, disabled, known = [], problem, onChange } = props;
  const shared = { 'aria-label': setting.title, disabled, error: problem };
  switch (setting.kind) {
    case 'bool':
      return (
        <Switch
          aria-label={setting.title}
          disabled={disabled}
          checked={value === true}
          onChange={(event) => onChange(event.currentTarget.checked)}
        />
      );
    case 'choice':
      return (
        <Select
          {...shared}
          data={setting.choices}
          allowDeselect={false}
          value={String(value)}
          onChange={(next) => onChange(next)}
        />
      );
    case 'int':
    case 'float':
      return <AmountInput {...shared} unit={setting.unit} value={value} onChange={onChange} />;
    case 'mapping':
      return <JsonEditor {...props} />;
    default:
      return (
        <Autocomplete {...shared} data={known} value={typeof value === 'string' ? value : ''} onChange={onChange} />
      );
  }
}

function JsonEditor({ setting, value, disabled, problem, onChange, onInvalid }: Props) {
  const [entered, setEntered] = useState({ value, text: jsonText(value) });
  // Another value than the one entered here comes from Undo or from the server.
  const text = isSame(entered.value, value) ? entered.text : jsonText(value);
  const change = (next: string) => {
    const invalid = jsonProblem(next);
    const parsed = invalid ? value : parsedJson(next);
    setEntered({ value: parsed, text: next });
    onInvalid(invalid);
    if (!invalid) onChange(parsed);
  };
  return (
    <JsonField
      aria-label={setting.title}
      disabled={disabled}
      error={problem}
      value={text}
      onChange={(event) => change(event.currentTarget.value)}
    />
  );
}
