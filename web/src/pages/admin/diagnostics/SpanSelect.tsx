import { Select } from '@mantine/core';
import { SPANS } from './logFilter';

interface Props {
  /** A key of `SPANS`; empty = any time. */
  span: string;
  onChange: (span: string) => void;
}

/** The time span of a list: from its start until now. */
export function SpanSelect({ span, onChange }: Props) {
  return (
    <Select
      size="xs"
      w={105}
      aria-label="Time"
      placeholder="Any time"
      clearable
      clearButtonProps={{ 'aria-label': 'Any time' }}
      data={Object.keys(SPANS).map((value) => ({ value, label: `Last ${value}` }))}
      value={span || null}
      onChange={(next) => onChange(next ?? '')}
    />
  );
}
