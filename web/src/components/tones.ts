import type { Hue } from '../theme/theme';

/** The meaning of a color (docs/explanation/design.md). */
export type Tone = Hue;

/** Color of text in a tone, readable (AA) on the page and on the badge of the same tone. */
export function textIn(tone: Tone): string {
  return `var(--gr-${tone}-text)`;
}
