import { Autocomplete, NumberInput, Select, Switch } from '@mantine/core';
import { useState } from 'react';
import type { Setting } from '../api/types';
import { jsonProblem, jsonText, parsedJson } from './json';
import { amountIn, unitOf } from './format';
import { JsonField } from './JsonField';

interface EditorProps {
  setting: Setting;
  value: unknown;
  disabled: boolean;
  /** The names to choose from for a text. */
  known?: string[] | undefined;
  onSave: (value: unknown) => void;
}

/** The field for the kind of the setting. It saves when the focus leaves it. */
export function SettingEditor(props: EditorProps) {
  const { setting, value, disabled, onSave } = props;
  const label = { 'aria-label': setting.name, disabled };
  switch (setting.kind) {
    case 'bool':
      return <Switch {...label} checked={value === true} onChange={(event) => onSave(event.currentTarget.checked)} />;
    case 'choice':
      return (
        <Select
          {...label}
          maw={240}
          data={setting.choices}
          allowDeselect={false}
          value={String(value)}
          onChange={(next) => onSave(next)}
        />
      );
    case 'int':
    case 'float':
      return <NumberEditor {...props} />;
    case 'mapping':
      return <JsonEditor {...props} />;
    default:
      return <TextEditor {...props} />;
  }
}

function NumberEditor({ setting, value, disabled, onSave }: EditorProps) {
  const [number, setNumber] = useState<number | string>(Number(value));
  const save = () => {
    if (typeof number !== 'number') setNumber(Number(value));
    else if (number !== value) onSave(number);
  };
  const amount = typeof number === 'number' && setting.unit ? amountIn(number, setting.unit) : '';
  return (
    <NumberInput
      aria-label={setting.name}
      description={amount === `${number} ${unitOf(number, setting.unit)}` ? undefined : amount}
      inputWrapperOrder={['input', 'description', 'error']}
      maw={240}
      disabled={disabled}
      suffix={setting.unit ? ` ${unitOf(number, setting.unit)}` : ''}
      value={number}
      onChange={setNumber}
      onBlur={save}
    />
  );
}

function JsonEditor({ setting, value, disabled, onSave }: EditorProps) {
  const before = jsonText(value);
  const [text, setText] = useState(before);
  const problem = jsonProblem(text);
  return (
    <JsonField
      aria-label={setting.name}
      disabled={disabled}
      error={problem}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={() => !problem && text !== before && onSave(parsedJson(text))}
    />
  );
}

function TextEditor({ setting, value, disabled, known = [], onSave }: EditorProps) {
  const before = typeof value === 'string' ? value : '';
  const [text, setText] = useState(before);
  return (
    <Autocomplete
      aria-label={setting.name}
      disabled={disabled}
      data={known}
      value={text}
      onChange={setText}
      onBlur={() => text !== before && onSave(text)}
    />
  );
}
