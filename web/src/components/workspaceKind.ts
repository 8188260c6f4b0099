/** The kind of the icon of a workspace without a picture. */
export type Kind = 'browser' | 'terminal' | 'desktop';

const WORDS: [RegExp, Kind][] = [
  [/\b(chrome|chromium|firefox|browser|edge|brave)\b/i, 'browser'],
  [/\b(terminal|xterm|shell|console)\b/i, 'terminal'],
];

/** The kind by the name of the workspace. Only whole words count: "autumn term" is not a terminal. */
export function kindOf(name: string): Kind {
  return WORDS.find(([words]) => words.test(name))?.[1] ?? 'desktop';
}
