import { Button } from '@mantine/core';
import type { ReactNode } from 'react';
import { Confirm } from './Confirm';

interface Props {
  /** The label, e.g. Edit. */
  word: string;
  /** The name of the item, for screen readers. */
  name: string;
  onClick: () => void;
}

/** An action of a row, as a text button. */
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
  /** The noun of the item, e.g. zone, if the name does not contain it. */
  noun?: string;
  onConfirm: () => Promise<unknown>;
  /** Lists to read again afterwards. */
  touched: string[];
  /** The consequence. */
  children: ReactNode;
}

/** The action that deletes the item of a row, with a confirmation. */
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
