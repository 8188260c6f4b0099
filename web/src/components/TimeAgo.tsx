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

function colorOf(age: number, { warnAfter, alarmAfter }: Props): Tone | undefined {
  if (alarmAfter !== undefined && age > alarmAfter) return 'failure';
  if (warnAfter !== undefined && age > warnAfter) return 'warning';
  return undefined;
}

function wordsOf(age: number): string {
  return age < -1 ? `in ${shortDuration(-age)}` : `${shortDuration(age)} ago`;
}

/** A time relative to now, ticking; the absolute time with its zone is its hint. */
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
  return <Time time={props.time} tone={useClock((now) => colorOf((now - at) / 1000, props))} />;
}

function Time({ time, tone }: { time: string; tone?: Tone | undefined }) {
  const at = Date.parse(time);
  const text = useClock((now) => wordsOf((now - at) / 1000));
  return (
    <time
      className="nowrap number"
      dateTime={time}
      {...(tone ? { style: { color: textIn(tone), fontWeight: 600 } } : {})}
    >
      {text}
    </time>
  );
}

const ABSOLUTE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long' });

/** Date, time and zone, in the person's own form. */
export function absolute(time: string): string {
  return ABSOLUTE.format(new Date(time));
}
