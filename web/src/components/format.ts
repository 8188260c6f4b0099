const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'];

/** A size in bytes with a unit of the decimal system, e.g. "1.2 GB". */
export function bytes(size: number): string {
  const step = size > 0 ? Math.min(UNITS.length - 1, Math.floor(Math.log10(size) / 3)) : 0;
  return `${trimmed(size / 1000 ** step)} ${UNITS[step]}`;
}

/** At most one digit behind the point. */
export function trimmed(value: number): string {
  return value.toFixed(1).replace(/\.0$/, '');
}

/** "1 session", "3 sessions". */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** The first part of a uuid, enough to tell things apart in a list. */
export function shortId(id: string): string {
  return id.slice(0, 8);
}
