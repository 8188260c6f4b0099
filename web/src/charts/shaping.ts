/** Turns an answer of `/api/v1/series` into the lines of a chart, its texts and its table. */

import type { SeriesAnswer, SeriesName } from '../api/series';
import { locale as localeOfPage } from '../language';

export type Value = number | null;
export type Unit = 'number' | 's' | 'bytes' | 'cores';

/** A color of the tokens, without `--gr-`. */
export type Color = 'ready' | 'staged' | 'warning' | 'failure' | 'neutral' | `chart-${1 | 2 | 3 | 4 | 5 | 6}`;

export interface LineSpec<Name extends string = SeriesName> {
  name: Name;
  label: string;
  color: Color;
  /** A dashed line with steps, for a desired number. */
  isGoal?: boolean;
}

export interface ChartSpec<Name extends string = SeriesName> {
  title: string;
  /** What the numbers are, as one sentence. */
  note: string;
  /** `bars` and `areas` are stacked, the first line at the bottom. */
  kind: 'lines' | 'bars' | 'areas';
  unit: Unit;
  /** The values are numbers of events, so the sum of the period is shown; otherwise the latest value. */
  isSum?: boolean;
  lines: LineSpec<Name>[];
}

export interface Line extends LineSpec<string> {
  values: Value[];
}

/** The beginnings of the points, in seconds since 1970. */
export function timesOf({ begin, step_s, series }: SeriesAnswer): number[] {
  const first = Date.parse(begin) / 1000;
  return (series[0]?.values ?? []).map((_, index) => first + index * step_s);
}

/** The lines that the answer has, in the order of the chart. */
export function linesOf({ lines }: ChartSpec, { series }: SeriesAnswer): Line[] {
  return lines.flatMap((line) => {
    const values = series.find(({ name }) => name === line.name)?.values;
    return values ? [{ ...line, values }] : [];
  });
}

/** Whether anything was recorded. */
export function hasValues(lines: Line[]): boolean {
  return lines.some(({ values }) => values.some((value) => value !== null));
}

/** The numbers of the points without a neighbor, which no line reaches. */
export function isolated(values: Value[]): number[] {
  const isMissing = (index: number) => (values[index] ?? null) === null;
  return values.flatMap((value, index) =>
    value !== null && isMissing(index - 1) && isMissing(index + 1) ? [index] : [],
  );
}

/** Each line on top of the lines before it. A missing value counts as 0, unless all values of the time are missing. */
export function stacked(lines: Value[][]): Value[][] {
  let below: Value[] = [];
  return lines.map((values) => {
    below = values.map((value, index) => {
      const under = below[index] ?? null;
      return value === null && under === null ? null : (value ?? 0) + (under ?? 0);
    });
    return below;
  });
}

/** The height of the smallest bar, as a part of the highest one. */
const LEAST_BAR = 0.04;

/** Bars as they are drawn: a few errors are visible beside thousands of other rows. */
export function visible(lines: Value[][]): Value[][] {
  const sums = stacked(lines).at(-1) ?? [];
  const least = LEAST_BAR * Math.max(0, ...sums.map((sum) => sum ?? 0));
  return lines.map((values) => values.map((value) => (value ? Math.max(value, least) : value)));
}

/** The number that stands for a whole line: the sum, or the latest value. */
export function headline(values: Value[], isSum: boolean): Value {
  const known = values.filter((value) => value !== null);
  if (known.length === 0) return null;
  return isSum ? known.reduce((sum, value) => sum + value, 0) : (known.at(-1) ?? null);
}

const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

function number(value: number, digits: number, locale: string): string {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

/** A value with its unit, in the language of the console; "–" if it is missing. */
export function shown(value: Value | undefined, unit: Unit, locale = localeOfPage()): string {
  if (value === null || value === undefined) return '–';
  if (unit === 's') return `${number(value, value < 10 ? 2 : 0, locale)} s`;
  if (unit !== 'bytes') return number(value, unit === 'cores' ? 2 : 0, locale);
  const size = Math.abs(value);
  const step = size >= 1 ? Math.min(BYTE_UNITS.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  return `${number(value / 1000 ** step, 1, locale)} ${BYTE_UNITS[step] ?? ''}`;
}

/** A time with its date, in the language of the console and the time zone of the browser. */
export function timeShown(time: number, locale = localeOfPage(), timeZone?: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'short', timeZone }).format(time * 1000);
}

/** The texts of the axis of times: times of the day, or dates if a day begins or the marks are days. */
export function axisTexts(times: number[], step: number, locale = localeOfPage(), timeZone?: string): string[] {
  const date = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', timeZone });
  const time = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', timeZone });
  let last = '';
  return times.map((each, index) => {
    const day = date.format(each * 1000);
    const begins = index > 0 && day !== last;
    last = day;
    return step >= 86_400 || begins ? day : time.format(each * 1000);
  });
}

/** One sentence part for each line: "Staged 3, Failed 1". */
export function spoken(lines: Line[], index: number, unit: Unit): string {
  return lines.map(({ label, values }) => `${label} ${shown(values[index], unit)}`).join(', ');
}

export interface TableRow {
  time: number;
  values: Value[];
}

/** The points with values, newest first. */
export function tableOf(times: number[], lines: Line[]): TableRow[] {
  return times
    .map((time, index) => ({ time, values: lines.map(({ values }) => values[index] ?? null) }))
    .filter(({ values }) => values.some((value) => value !== null))
    .reverse();
}
