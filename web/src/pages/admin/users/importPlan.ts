/**
 * The changes of a CSV file of users. The rules are those of `greenroom users import`, which
 * docs/howto/users-and-groups.md describes: an invalid line changes nothing, and an empty cell keeps its value.
 */

import { t } from '@lingui/core/macro';
import type { Group, Schemas, User } from '../../../api/types';
import { checksOf } from '../../../components/checks';

export const COLUMNS = [
  'username',
  'password',
  'first_name',
  'last_name',
  'phone',
  'organization',
  'notes',
  'locked',
  'disabled',
  'groups',
] as const;
/** The column of the reasons in a file of refused lines. It is ignored. */
const ERROR = 'error';
const ALL_USERS = 'All Users';
/** The maximum length of an error, which can contain a cell. */
const MAX_ERROR = 1000;
const BOOLEANS: Record<string, boolean> = { true: true, yes: true, '1': true, false: false, no: false, '0': false };

type Values = Schemas['UserPatch'];

/** A line with values: its number is that of its last line of text. */
export interface Line {
  number: number;
  cells: string[];
}

export interface UserChange {
  line: Line;
  username: string;
  /** null = a new user. */
  userId: string | null;
  values: Values;
}

export interface Plan {
  header: string[];
  changes: UserChange[];
  /** The number of users who have the values of their lines already. */
  unchanged: number;
  errors: { line: number; message: string }[];
}

/** The lines of a CSV file (RFC 4180). Throws an error with a sentence: the quotes are wrong. */
export function linesOf(text: string): Line[] {
  const lines: Line[] = [];
  let [number, cells] = [1, [] as string[]];
  // No alternatives in the loop: V8 would remember each character, and a file of some MB overflows its stack.
  const pattern = /(?:"([^"]*(?:""[^"]*)*)"|([^",\r\n]*))(,|\r\n|\n|\r|$)/y;
  const content = text.replace(/^\ufeff/, '');
  while (pattern.lastIndex < content.length || cells.length > 0) {
    const [whole, quoted, plain = '', end] = pattern.exec(content) ?? [];
    if (whole === undefined) throw new Error(t`Line ${number} is not CSV: a quote is missing or misplaced.`);
    cells.push(quoted?.replaceAll('""', '"') ?? plain);
    number += breaksIn(quoted ?? '');
    if (end === ',') continue;
    if (cells.some((cell) => cell !== '') || cells.length > 1) lines.push({ number, cells });
    number += 1;
    cells = [];
  }
  return lines;
}

const breaksIn = (text: string) => text.match(/\r\n|\n|\r/g)?.length ?? 0;

/** The changes that give the users of the file the values of their lines, or the errors of its lines. */
export function planImport(text: string, users: User[], groups: Group[]): Plan {
  const plan: Plan = { header: [], changes: [], unchanged: 0, errors: [] };
  let lines: Line[];
  try {
    lines = linesOf(text);
  } catch (error) {
    return { ...plan, errors: [{ line: 1, message: (error as Error).message }] };
  }
  const [first, ...rows] = lines;
  plan.header = first?.cells.map((name) => name.trim()) ?? [];
  const problem = headerProblem(plan.header);
  if (problem) return { ...plan, errors: [{ line: first?.number ?? 1, message: problem }] };
  const present = new Map(users.filter(({ anonymous }) => !anonymous).map((user) => [keyOf(user.username), user]));
  const groupIds = new Map(groups.map(({ name, group_id }) => [name, group_id]));
  const lineOfUser = new Map<string, number>();
  for (const line of rows) {
    const { values, errors } = valuesOf(plan.header, line.cells, groupIds);
    const username = values.username ?? '';
    const other = lineOfUser.get(keyOf(username));
    if (other !== undefined) errors.push(t`The user ${username} is also in line ${other}.`);
    else lineOfUser.set(keyOf(username), line.number);
    plan.errors.push(...errors.map((message) => ({ line: line.number, message: shortened(message) })));
    if (errors.length > 0) continue;
    const user = present.get(keyOf(username));
    const changed = user ? changedValues(user, values) : values;
    if (user && Object.keys(changed).length === 0) plan.unchanged += 1;
    else plan.changes.push({ line, username, userId: user?.user_id ?? null, values: changed });
  }
  return plan;
}

const shortened = (text: string) => (text.length <= MAX_ERROR ? text : `${text.slice(0, MAX_ERROR)}…`);

/** The form in which user names are compared, as in the database (`username_key`). */
const keyOf = (username: string) =>
  username.normalize('NFKC').toLowerCase().replaceAll('ß', 'ss').replaceAll('ς', 'σ').normalize('NFKC');

function headerProblem(header: string[]): string | null {
  const known: readonly string[] = [...COLUMNS, ERROR];
  const unknown = header.find((name) => !known.includes(name));
  if (unknown !== undefined) return t`There is no column ${unknown}; the columns are ${{ all: COLUMNS.join(', ') }}.`;
  if (!header.includes('username')) return t`The column username is missing.`;
  return new Set(header).size < header.length ? t`A column occurs twice.` : null;
}

const CHECKS = checksOf('UserCreate') as Record<string, ((value: unknown) => string | null) | undefined>;

/** The values of the cells that are not empty, and their errors. */
function valuesOf(header: string[], cells: string[], groupIds: Map<string, string>) {
  const [values, errors]: [Record<string, unknown>, string[]] = [{}, []];
  if (cells.length > header.length) {
    errors.push(t`The line has more cells than the header; quote values that contain a comma.`);
  }
  for (const [position, name] of header.entries()) {
    const cell = cells[position] ?? '';
    const text = name === 'password' ? cell : cell.trim();
    if (text === '' || name === ERROR) continue;
    if (name === 'groups') {
      const names = [...new Set([ALL_USERS, ...text.split(';').map((part) => part.trim())])].filter(Boolean);
      const unknown = names.filter((group) => !groupIds.has(group));
      errors.push(...unknown.map((group) => t`There is no group ${group}; separate several groups with “;”.`));
      values[name] = names.flatMap((group) => groupIds.get(group) ?? []);
    } else if (name === 'locked' || name === 'disabled') {
      const value = BOOLEANS[text.toLowerCase()];
      if (value === undefined) errors.push(t`${name} must be true or false, not ${text}.`);
      values[name] = value;
    } else {
      const problem = CHECKS[name]?.(text);
      if (problem) errors.push(`${name}: ${problem}`);
      values[name] = text;
    }
  }
  if (values.username === undefined) errors.push(t`The username is missing.`);
  return { values: values as Values, errors };
}

/** The values that a user does not have yet. The name and the password of a user are not changed. */
function changedValues(user: User, values: Values): Values {
  const present: Record<string, unknown> = { ...user, groups: sorted(user.groups.map(({ group_id }) => group_id)) };
  const isChanged = ([name, value]: [string, unknown]) =>
    name !== 'username' &&
    name !== 'password' &&
    JSON.stringify(Array.isArray(value) ? sorted(value as string[]) : value) !== JSON.stringify(present[name]);
  return Object.fromEntries(Object.entries(values).filter(isChanged));
}

const sorted = (texts: string[]) => [...texts].sort();

/** The lines of a file that were not imported, with the reasons. The file can be corrected and imported again. */
export function refusedFile(header: string[], refused: { change: UserChange; reason: string }[]): string {
  const names = header.filter((name) => name !== ERROR);
  const cellsOf = (cells: string[]) => header.flatMap((name, at) => (name === ERROR ? [] : [cells[at] ?? '']));
  const rows = refused.map(({ change, reason }) => [...cellsOf(change.line.cells), reason]);
  return [[...names, ERROR], ...rows].map((cells) => `${cells.map(quoted).join(',')}\r\n`).join('');
}

const quoted = (cell: string) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
