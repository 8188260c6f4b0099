/** The commands that an administrator runs in a session: their arguments, their output and the history of the input. */

/** Begins the error output in the result of a shell line. Programs do not print this control character. */
const ERRORS = '\u001e';

/**
 * Runs a line in a shell, and prints the last 20,000 bytes of its error output after the other output, behind a mark.
 * Without a folder for the file of the error output, both are mixed.
 */
const SCRIPT = [
  'e=$(mktemp 2>/dev/null) || exec sh -c "$1"',
  'sh -c "$1" 2>"$e"',
  'c=$?',
  `[ -s "$e" ] && printf '\\036' && tail -c 20000 "$e"`,
  'rm -f "$e"',
  'exit $c',
].join('\n');

/** The arguments that run a line in a shell of the session. */
export function shellArguments(line: string): string[] {
  return ['sh', '-c', SCRIPT, 'sh', line];
}

/** The arguments of a text with one argument in each line. */
export function exactArguments(text: string): string[] {
  return text.split('\n').filter(Boolean);
}

/** The output of a command in two parts: the usual output and that of errors. */
export function outputParts(output: string): { usual: string; errors: string } {
  const at = output.indexOf(ERRORS);
  return at < 0 ? { usual: output, errors: '' } : { usual: output.slice(0, at), errors: output.slice(at + 1) };
}

/** The entries of the input that were run, the oldest first, without repetitions in a row. */
export function withEntry(entries: string[], entry: string): string[] {
  return entries.at(-1) === entry ? entries : [...entries, entry];
}

/** The place in the history after an arrow key: `-1` is the entry before. The place behind the last entry is the input. */
export function placeAfter(entries: string[], place: number, step: -1 | 1): number {
  return Math.max(0, Math.min(entries.length, place + step));
}
