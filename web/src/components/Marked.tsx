import { Code } from '@mantine/core';

/** A sentence of the server, in which `names` stand between backticks. */
export function Marked({ text }: { text: string }) {
  return text
    .split('`')
    .map((part, index) => (index % 2 ? <Code key={index}>{part}</Code> : <span key={index}>{part}</span>));
}
