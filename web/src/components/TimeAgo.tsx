import { Text, Tooltip } from '@mantine/core';
import { shortDuration, useClock } from './clock';
import { type Tone, textIn } from './tones';

interface Props {
  time: string | null | undefined;
  /** Seconds after which the time is shown as a warning, and as an alarm. */
  warnAfter?: number;
  alarmAfter?: number;
  /** What stands there when there is no time. */
  none?: string;
}

function colourOf(age: number, { warnAfter, alarmAfter }: Props): Tone | undefined {
  if (alarmAfter !== undefined && age > alarmAfter) return 'red';
  if (warnAfter !== undefined && age > warnAfter) return 'yellow';
  return undefined;
}

function wordsOf(age: number): string {
  return age < -1 ? `in ${shortDuration(-age)}` : `${shortDuration(age)} ago`;
}

/** A time relative to now, ticking; the absolute time with its zone is in the tooltip. */
export function TimeAgo(props: Props) {
  const at = Date.parse(props.time ?? '');
  const text = useClock((now) => wordsOf((now - at) / 1000));
  const colour = useClock((now) => colourOf((now - at) / 1000, props));
  if (!props.time)
    return (
      <Text span inherit c="dimmed">
        {props.none ?? '–'}
      </Text>
    );
  return (
    <Tooltip label={absolute(props.time)} events={{ hover: true, focus: true, touch: true }}>
      <Text
        span
        inherit
        className="nowrap number"
        component="time"
        {...{ dateTime: props.time }}
        {...(colour ? { c: textIn(colour), fw: 600 } : {})}
      >
        {text}
      </Text>
    </Tooltip>
  );
}

/** Date, time and zone, in the person's own form. */
export function absolute(time: string): string {
  return new Date(time).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'long' });
}
