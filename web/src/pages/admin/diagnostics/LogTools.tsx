import { t } from '@lingui/core/macro';
import { Button, Group, SegmentedControl, Select, Switch, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useEffect, useRef, useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { zonesQuery } from '../../../api/queries';
import { shortId } from '../../../components/format';
import { absolute } from '../../../components/TimeAgo';
import { LEVELS, type LogFilter } from './logFilter';
import { SpanSelect } from './SpanSelect';

const COMPONENTS = ['api', 'manager', 'agent', { value: 'up', label: t`up (start of processes)` }];
const TYPING_MS = 300;

interface Props {
  filter: LogFilter;
  span: string;
  onChange: (name: string, value: string | null) => void;
  live: boolean;
  onLive: (live: boolean) => void;
  /** Shows only level and time, because the other conditions are fixed. */
  brief: boolean;
  /** Codes to choose from, with their labels. */
  codes?: Record<string, string> | undefined;
}

/** The conditions of the request. The filter at the right of the table searches the loaded rows only. */
export function LogTools({ filter, span, onChange, live, onLive, brief, codes }: Props) {
  const zones = useQuery({ ...zonesQuery, enabled: useAllowed()('zones_view') });
  return (
    <Group gap="xs">
      <SegmentedControl
        size="xs"
        aria-label={t`Minimum level`}
        data={[...LEVELS]}
        value={filter.level}
        onChange={(level) => onChange('level', level === 'INFO' ? null : level)}
      />
      <SpanSelect span={span} onChange={(next) => onChange('span', next)} />
      {codes && (
        <SegmentedControl
          size="xs"
          aria-label={t`Code`}
          data={[{ value: '', label: t`All` }, ...Object.entries(codes).map(([value, label]) => ({ value, label }))]}
          value={filter.code ?? ''}
          onChange={(code) => onChange('code', code || null)}
        />
      )}
      {!brief && (
        <>
          <Select
            size="xs"
            w={170}
            aria-label={t`Component`}
            placeholder={t`All components`}
            clearable
            clearButtonProps={{ 'aria-label': t`All components` }}
            data={COMPONENTS}
            value={filter.component ?? null}
            onChange={(value) => onChange('component', value)}
          />
          <Condition name="code" label={t`Code`} value={filter.code ?? ''} onChange={onChange} />
          <Condition name="text" label={t`Message contains`} value={filter.text ?? ''} onChange={onChange} />
          <Select
            size="xs"
            w={105}
            aria-label={t`Zone`}
            placeholder={t`All zones`}
            clearable
            clearButtonProps={{ 'aria-label': t`All zones` }}
            data={(zones.data ?? []).map(({ zone_name }) => zone_name)}
            value={filter.zone_name ?? null}
            onChange={(value) => onChange('zone_name', value)}
          />
          <Given
            label={t`Session`}
            value={filter.session_id && shortId(filter.session_id)}
            onRemove={() => onChange('session_id', null)}
          />
          <Given
            label={t`User`}
            value={filter.user_id && shortId(filter.user_id)}
            onRemove={() => onChange('user_id', null)}
          />
          <Given
            label={t`Config`}
            value={filter.staging_config_id && shortId(filter.staging_config_id)}
            onRemove={() => onChange('staging_config_id', null)}
          />
        </>
      )}
      <Given
        label={t({ message: 'Before', context: 'time' })}
        value={filter.until && absolute(filter.until)}
        onRemove={() => onChange('until', null)}
      />
      <Switch
        size="xs"
        label={t`Live`}
        aria-label={t`Show new rows automatically`}
        checked={live}
        onChange={(event) => onLive(event.currentTarget.checked)}
      />
    </Group>
  );
}

interface GivenProps {
  label: string;
  value: string | undefined;
  onRemove: () => void;
}

/** A condition of the address, as a button that removes it. */
function Given({ label, value, onRemove }: GivenProps) {
  if (!value) return null;
  return (
    <Button size="compact-xs" variant="default" onClick={onRemove} aria-label={t`Remove ${label} ${value}`}>
      {label} {value} ×
    </Button>
  );
}

interface ConditionProps {
  name: string;
  label: string;
  value: string;
  onChange: Props['onChange'];
}

/** A text condition. It is requested when the typing pauses, and updated when the address changes. */
function Condition({ name, label, value, onChange }: ConditionProps) {
  const [text, setText] = useState(value);
  const asked = useRef(value);
  const ask = useDebouncedCallback((next: string) => {
    asked.current = next;
    onChange(name, next || null);
  }, TYPING_MS);
  useEffect(() => {
    if (value === asked.current) return; // the value that was entered here
    asked.current = value;
    setText(value);
  }, [value]);
  return (
    <TextInput
      size="xs"
      w={112}
      aria-label={label}
      placeholder={label}
      value={text}
      onChange={(event) => {
        setText(event.currentTarget.value);
        ask(event.currentTarget.value.trim());
      }}
    />
  );
}
