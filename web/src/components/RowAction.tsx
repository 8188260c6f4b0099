import { Button } from '@mantine/core';

interface Props {
  /** What it does, e.g. Edit. */
  word: string;
  /** Of the thing, for users of screen readers. */
  name: string;
  onClick: () => void;
}

/** An action of a table's row, in a word. */
export function RowAction({ word, name, onClick }: Props) {
  return (
    <Button size="compact-sm" variant="default" onClick={onClick} aria-label={`${word} ${name}`}>
      {word}
    </Button>
  );
}
