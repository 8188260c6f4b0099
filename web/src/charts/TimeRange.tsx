import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Group, Popover, SegmentedControl, Stack, TextInput } from '@mantine/core';
import { IconCalendar } from '@tabler/icons-react';
import { type SyntheticEvent, useState } from 'react';
import styles from './charts.module.css';
import { dayOf, periodOf, type Period, type Preset, type Range } from './range';
import { timeShown } from './shaping';

const LABELS: Record<Preset, string> = {
  '1h': t`1 h`,
  '6h': t`6 h`,
  '24h': t`24 h`,
  '7d': t`7 d`,
  '30d': t`30 d`,
  '90d': t`90 d`,
};
const CUSTOM = 'custom';

interface Props {
  range: Range;
  onChange: (range: Range) => void;
}

/** The control of the period of the charts of a page. */
export function TimeRange({ range, onChange }: Props) {
  const preset = 'preset' in range ? range.preset : CUSTOM;
  return (
    <>
      <SegmentedControl
        aria-label={t`Period`}
        size="xs"
        value={preset}
        onChange={(value) => onChange({ preset: value as Preset })}
        data={[
          ...Object.entries(LABELS).map(([value, label]) => ({ value, label })),
          ...(preset === CUSTOM ? [{ value: CUSTOM, label: t`Custom` }] : []),
        ]}
      />
      <ChoosePeriod range={range} onChange={onChange} />
    </>
  );
}

interface ChooseProps {
  range: Range;
  onChange: (period: Period) => void;
}

/** A button that opens the form of a period, and the chosen period. Charts and lists use it. */
export function ChoosePeriod({ range, onChange }: ChooseProps) {
  const [isOpen, setOpen] = useState(false);
  const choose = (period: Period) => {
    setOpen(false);
    onChange(period);
  };
  return (
    <>
      <Popover opened={isOpen} onChange={setOpen} trapFocus returnFocus position="bottom-start" shadow="md">
        <Popover.Target>
          <Button
            variant="default"
            size="xs"
            leftSection={<IconCalendar size={16} aria-hidden />}
            onClick={() => setOpen(!isOpen)}
          >
            <Trans>Choose a period</Trans>
          </Button>
        </Popover.Target>
        <Popover.Dropdown>
          <CustomForm period={periodOf(range, Date.now() / 1000)} onApply={choose} />
        </Popover.Dropdown>
      </Popover>
      {!('preset' in range) && (
        <span className={styles.period}>
          {timeShown(range.since)} – {timeShown(range.until)}
        </span>
      )}
    </>
  );
}

interface FormProps {
  period: Period;
  onApply: (period: Period) => void;
}

function CustomForm({ period, onApply }: FormProps) {
  const [since, setSince] = useState(inField(period.since));
  const [until, setUntil] = useState(inField(period.until));
  const [from, to] = [fromField(since), fromField(until)];
  const error = from < to ? undefined : t`Must be after the begin.`;
  const submit = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!error) onApply({ since: from, until: Math.min(to, Date.now() / 1000) });
  };
  return (
    <form onSubmit={submit}>
      <Stack gap="sm">
        <TextInput
          type="datetime-local"
          label={t`Begin`}
          value={since}
          onChange={({ currentTarget }) => setSince(currentTarget.value)}
          data-autofocus
        />
        <TextInput
          type="datetime-local"
          label={t({ message: 'End', context: 'time' })}
          value={until}
          error={error}
          onChange={({ currentTarget }) => setUntil(currentTarget.value)}
        />
        <Group justify="space-between">
          <Group gap="xs">
            <Button variant="default" size="xs" onClick={() => onApply(dayOf(new Date(), 0))}>
              <Trans>Today</Trans>
            </Button>
            <Button variant="default" size="xs" onClick={() => onApply(dayOf(new Date(), 1))}>
              <Trans>Yesterday</Trans>
            </Button>
          </Group>
          <Button type="submit" size="xs" disabled={Boolean(error)}>
            <Trans>Show</Trans>
          </Button>
        </Group>
      </Stack>
    </form>
  );
}

/** The local time as a field of this type needs it: "2026-01-31T18:05". */
function inField(time: number): string {
  const date = new Date(time * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** Seconds since 1970; NaN if the field is empty. */
function fromField(text: string): number {
  return new Date(text).getTime() / 1000;
}
