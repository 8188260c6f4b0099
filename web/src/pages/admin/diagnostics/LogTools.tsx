import { t } from '@lingui/core/macro';
import { Button, Group, SegmentedControl, Switch } from '@mantine/core';
import { fixedPeriod } from '../../../charts/range';
import { shortId } from '../../../components/format';
import { absolute } from '../../../components/TimeAgo';
import { LEVELS, type LogFilter } from './logFilter';
import { SpanSelect } from './SpanSelect';

interface Props {
  filter: LogFilter;
  span: string;
  onChange: (name: string, value: string | null) => void;
  onTime: (changes: Record<'span' | 'since' | 'until', string>) => void;
  live: boolean;
  onLive: (live: boolean) => void;
  /** Shows only level and time, because the other conditions are fixed. */
  brief: boolean;
  /** The names of objects of the shown rows, by their ids. */
  names: Record<string, string>;
  /** Codes to choose from, with their labels. */
  codes?: Record<string, string> | undefined;
}

/** The level, the time and the other conditions of the request. */
export function LogTools({ filter, span, onChange, onTime, live, onLive, brief, names, codes }: Props) {
  // The control of the time shows a period with both ends.
  const isFixed = fixedPeriod(filter.since, filter.until) !== undefined;
  const from = span || isFixed ? undefined : filter.since && absolute(filter.since);
  return (
    <Group gap="xs">
      <SegmentedControl
        size="xs"
        aria-label={t`Minimum level`}
        data={[...LEVELS]}
        value={filter.level}
        onChange={(level) => onChange('level', level === 'INFO' ? null : level)}
      />
      <SpanSelect span={span} since={filter.since} until={filter.until} onChange={onTime} />
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
          <Given label={t`Component`} value={filter.component} onRemove={() => onChange('component', null)} />
          <Given label={t`Code`} value={filter.code} onRemove={() => onChange('code', null)} />
          <Given label={t`Zone`} value={filter.zone_name} onRemove={() => onChange('zone_name', null)} />
          <Given
            label={t`Session`}
            value={filter.session_id && shortId(filter.session_id)}
            onRemove={() => onChange('session_id', null)}
          />
          <Given
            label={t`User`}
            value={filter.user_id && (names[filter.user_id] ?? shortId(filter.user_id))}
            onRemove={() => onChange('user_id', null)}
          />
          <Given
            label={t`Pool`}
            value={filter.staging_config_id && (names[filter.staging_config_id] ?? shortId(filter.staging_config_id))}
            onRemove={() => onChange('staging_config_id', null)}
          />
        </>
      )}
      <Given label={t({ message: 'From', context: 'time' })} value={from} onRemove={() => onChange('since', null)} />
      <Given
        label={t({ message: 'Before', context: 'time' })}
        value={isFixed ? undefined : filter.until && absolute(filter.until)}
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
