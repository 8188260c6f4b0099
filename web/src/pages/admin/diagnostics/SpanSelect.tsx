import { t } from '@lingui/core/macro';
import { Select } from '@mantine/core';
import { useMemo } from 'react';
import { useSearchParams } from 'react-router';
import { DEFAULT_PRESET, fixedPeriod, inAddress } from '../../../charts/range';
import { ChoosePeriod } from '../../../charts/TimeRange';
import { changed } from '../../../components/address';
import { sinceOf, SPANS } from './logFilter';

const LABELS: Record<string, string> = {
  '15m': t`Last 15m`,
  '1h': t`Last 1h`,
  '24h': t`Last 24h`,
  '7d': t`Last 7d`,
};
const CUSTOM = 'custom';

interface Props {
  /** A key of `SPANS`; empty = a fixed period, or any time. */
  span: string;
  since?: string | null | undefined;
  until?: string | null | undefined;
  /** The parameters of the address to change. */
  onChange: (changes: Record<'span' | 'since' | 'until', string>) => void;
}

/** The time of a list: a span until now, or a fixed period. */
export function SpanSelect({ span, since, until, onChange }: Props) {
  const period = span ? undefined : fixedPeriod(since, until);
  const spans = Object.keys(SPANS).map((value) => ({ value, label: LABELS[value] ?? value }));
  return (
    <>
      <Select
        size="xs"
        w={105}
        aria-label={t`Time`}
        placeholder={t`Any time`}
        clearable
        clearButtonProps={{ 'aria-label': t`Any time` }}
        data={period ? [...spans, { value: CUSTOM, label: t`Custom` }] : spans}
        value={period ? CUSTOM : span || null}
        onChange={(next) => next !== CUSTOM && onChange({ span: next ?? '', since: '', until: '' })}
      />
      <ChoosePeriod
        range={period ?? { preset: DEFAULT_PRESET }}
        onChange={(chosen) => onChange({ span: '', since: inAddress(chosen.since), until: inAddress(chosen.until) })}
      />
    </>
  );
}

/** The time of a list in the address: as the conditions of a request, and its control. */
export function useSpan() {
  const [params, setParams] = useSearchParams();
  const [span = '', from = '', to = ''] = ['span', 'since', 'until'].map((name) => params.get(name) ?? '');
  const asked = useMemo((): { since?: string; until?: string } => {
    const since = sinceOf(span, Date.now());
    if (since) return { since };
    return fixedPeriod(from, to) ? { since: from, until: to } : {};
  }, [span, from, to]);
  const control = (
    <SpanSelect
      span={span}
      since={from}
      until={to}
      onChange={(changes) => setParams(changed(location.search, changes), { replace: true })}
    />
  );
  return { asked, control };
}
