import { JsonInput, NumberInput, Select, Switch, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { Setting } from '../api/types';

interface EditorProps {
  setting: Setting;
  value: unknown;
  disabled: boolean;
  onSave: (value: unknown) => void;
}

/** The field that fits the kind of the setting; it saves when it is left. */
export function SettingEditor({ setting, value, disabled, onSave }: EditorProps) {
  const label = { 'aria-label': setting.name, disabled };
  switch (setting.kind) {
    case 'bool':
      return <Switch {...label} checked={value === true} onChange={(event) => onSave(event.currentTarget.checked)} />;
    case 'choice':
      return (
        <Select
          {...label}
          w={240}
          data={setting.choices}
          allowDeselect={false}
          value={String(value)}
          onChange={(next) => onSave(next)}
        />
      );
    case 'int':
    case 'float':
      return <NumberEditor setting={setting} value={value} disabled={disabled} onSave={onSave} />;
    case 'mapping':
      return (
        <TextEditor
          setting={setting}
          value={JSON.stringify(value, null, 2)}
          disabled={disabled}
          onSave={(text) => onSave(parsed(String(text)))}
        />
      );
    default:
      return <TextEditor setting={setting} value={value} disabled={disabled} onSave={onSave} />;
  }
}

function NumberEditor({ setting, value, disabled, onSave }: EditorProps) {
  const [number, setNumber] = useState<number | string>(Number(value));
  const save = () => {
    if (typeof number !== 'number') return;
    const allowed = Math.max(number, setting.minimum ?? number); // as the field shows it when it is left
    if (allowed !== value) onSave(allowed);
  };
  return (
    <NumberInput
      aria-label={setting.name}
      w={240}
      disabled={disabled}
      suffix={setting.unit ? ` ${setting.unit}` : ''}
      allowDecimal={setting.kind === 'float'}
      min={setting.minimum ?? undefined}
      value={number}
      onChange={setNumber}
      onBlur={save}
    />
  );
}

function TextEditor({ setting, value, disabled, onSave }: EditorProps) {
  const [text, setText] = useState(String(value ?? ''));
  const save = () => text !== value && onSave(text);
  if (setting.kind === 'mapping') {
    return (
      <JsonInput
        aria-label={setting.name}
        disabled={disabled}
        autosize
        minRows={2}
        validationError="This is not JSON"
        value={text}
        onChange={setText}
        onBlur={() => isJson(text) && save()}
      />
    );
  }
  return (
    <TextInput
      aria-label={setting.name}
      disabled={disabled}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={save}
    />
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parsed(text: string): unknown {
  return JSON.parse(text) as unknown;
}
