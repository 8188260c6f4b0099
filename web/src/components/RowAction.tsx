import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { Confirm } from './Confirm';

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

interface RemoveProps {
  word?: string;
  name: string;
  /** What the thing is, e.g. zone, if its name does not say it. */
  noun?: string;
  onConfirm: () => Promise<unknown>;
  /** Lists to read again afterwards. */
  touched: string[];
  /** What will happen. */
  children: ReactNode;
}

/** The action that removes a row's thing; it asks first. */
export function RemoveAction({ word = 'Delete', name, noun, children, ...question }: RemoveProps) {
  return (
    <Confirm
      title={`${word} ${noun ? `${noun} ` : ''}${name}?`}
      action={word}
      trigger={(open) => <RowAction word={word} name={name} onClick={open} />}
      {...question}
    >
      {children}
    </Confirm>
  );
}
