import { t } from '@lingui/core/macro';
import { Select } from '@mantine/core';
import { SPANS } from './logFilter';

const LABELS: Record<string, string> = {
  '15m': t`Last 15m`,
  '1h': t`Last 1h`,
  '24h': t`Last 24h`,
  '7d': t`Last 7d`,
};

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
      aria-label={t`Time`}
      placeholder={t`Any time`}
      clearable
      clearButtonProps={{ 'aria-label': t`Any time` }}
      data={Object.keys(SPANS).map((value) => ({ value, label: LABELS[value] ?? value }))}
      value={span || null}
      onChange={(next) => onChange(next ?? '')}
    />
  );
}
