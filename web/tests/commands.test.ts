import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import {
  exactArguments,
  outputParts,
  placeAfter,
  shellArguments,
  withEntry,
} from '../src/pages/admin/sessions/commands';

function run(line: string, environment: Record<string, string> = {}) {
  const [program = '', ...others] = shellArguments(line);
  const done = spawnSync(program, others, { encoding: 'utf8', env: { ...process.env, ...environment } });
  return { ...outputParts(done.stdout), rest: done.stderr, code: done.status };
}

test('a shell line has its output, its error output and its exit code', () => {
  expect(run('echo one; echo two >&2; echo "$(( 1 + 2 ))"; exit 3')).toEqual({
    usual: 'one\n3\n',
    errors: 'two\n',
    rest: '',
    code: 3,
  });
  expect(run("printf '%s' 'it'\\''s'")).toEqual({ usual: "it's", errors: '', rest: '', code: 0 });
});

test('a shell line runs without a folder for temporary files, too', () => {
  const { usual, rest, code } = run('echo one; echo two >&2; exit 4', { TMPDIR: '/no/such/folder' });
  expect({ usual, rest, code }).toEqual({ usual: 'one\n', rest: 'two\n', code: 4 });
});

test('each line is an exact argument', () => {
  expect(exactArguments('ls\n-l\n\n/my folder\n')).toEqual(['ls', '-l', '/my folder']);
});

test('the arrows move through the history and back to an empty input', () => {
  const entries = withEntry(withEntry(withEntry([], 'ls'), 'ps'), 'ps');
  expect(entries).toEqual(['ls', 'ps']);
  expect([
    placeAfter(entries, 2, -1),
    placeAfter(entries, 0, -1),
    placeAfter(entries, 1, 1),
    placeAfter(entries, 2, 1),
  ]).toEqual([1, 0, 2, 2]);
});
