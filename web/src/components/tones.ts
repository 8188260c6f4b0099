export type Tone = 'teal' | 'blue' | 'gray' | 'yellow' | 'red';

/** Color of text in a tone, readable (AA) on the page and on the light badge of the same tone. */
export function textIn(tone: Tone): string {
  const light = tone === 'yellow' ? '#6b4200' : `var(--mantine-color-${tone}-9)`;
  return `light-dark(${light}, var(--mantine-color-${tone}-2))`;
}
