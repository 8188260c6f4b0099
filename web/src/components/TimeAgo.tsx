import { t } from '@lingui/core/macro';
import { locale } from '../language';
import { knownTime, shortDuration, useClock } from './clock';
import { useTimeForm } from './times';
import { type Tone, textIn } from './tones';

interface Props {
  time: string | null | undefined;
  /** Seconds after which the time is shown as a warning, and as an alarm. */
  warnAfter?: number;
  alarmAfter?: number;
  /** What stands there when there is no time. */
  none?: string;
}

function colorOf(age: number, { warnAfter, alarmAfter }: Props): Tone | undefined {
  if (alarmAfter !== undefined && age > alarmAfter) return 'failure';
  if (warnAfter !== undefined && age > warnAfter) return 'warning';
  return undefined;
}

function wordsOf(age: number): string {
  const duration = shortDuration(Math.abs(age));
  return age < -1 ? t`in ${duration}` : t`${duration} ago`;
}

/** A time relative to now, ticking, or date and time, as the user chose. The other form is its hint (see Hints.tsx). */
export function TimeAgo(props: Props) {
  if (!props.time) return <span className="dimmed">{props.none ?? '–'}</span>;
  return props.warnAfter === undefined && props.alarmAfter === undefined ? (
    <Time time={props.time} />
  ) : (
    <AgingTime {...props} time={props.time} />
  );
}

/** A time that is shown as a warning or alarm once it is too long ago. */
function AgingTime(props: Props & { time: string }) {
  const at = Date.parse(props.time);
  return <Time time={props.time} tone={useClock((now) => colorOf((knownTime(now) - at) / 1000, props))} />;
}

function Time({ time, tone }: { time: string; tone?: Tone | undefined }) {
  const at = Date.parse(time);
  const form = useTimeForm();
  const text = useClock((now) => (form === 'absolute' ? short(time) : wordsOf((knownTime(now) - at) / 1000)));
  return (
    <time
      className="nowrap number"
      dateTime={time}
      data-form={form}
      {...(tone ? { style: { color: textIn(tone), fontWeight: 600 } } : {})}
    >
      {text}
    </time>
  );
}

/** A date with its time, also for users who prefer relative times. The relative time is its hint. */
export function ExactTime({ time }: { time: string }) {
  return (
    <time className="nowrap number" dateTime={time} data-form="absolute">
      {short(time)}
    </time>
  );
}

/** The time relative to now, or the date with the time: the form that the element does not show. */
export function otherForm({ dateTime, dataset }: HTMLTimeElement): string {
  return dataset.form === 'absolute'
    ? wordsOf((knownTime(Date.now()) - Date.parse(dateTime)) / 1000)
    : absolute(dateTime);
}

const SHORT = new Intl.DateTimeFormat(locale(), { dateStyle: 'short', timeStyle: 'medium' });

/** Date and time in the form of the user, as short as possible. */
function short(time: string): string {
  return SHORT.format(new Date(time));
}

const ABSOLUTE = new Intl.DateTimeFormat(locale(), { dateStyle: 'medium', timeStyle: 'long' });

/** Date, time and zone, in the person's own form. */
export function absolute(time: string): string {
  return ABSOLUTE.format(new Date(time));
}
