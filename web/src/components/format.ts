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

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The first part of a uuid, enough to tell things apart in a list; other ids as they are. */
export function shortId(id: string): string {
  return UUID.test(id) ? id.slice(0, 8) : id;
}
