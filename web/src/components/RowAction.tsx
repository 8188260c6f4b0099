import {
  IconCheck,
  IconEdit,
  IconEye,
  IconListDetails,
  IconPlayerPlay,
  IconRefresh,
  IconRepeat,
  IconRotate,
  IconTrash,
  IconUnlink,
} from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Confirm } from './Confirm';
import { RowButton } from './RowButton';

/** The actions of rows, with their pictures. */
const ICONS = {
  Approve: IconCheck,
  Delete: IconTrash,
  Edit: IconEdit,
  Preview: IconEye,
  'Read again': IconRefresh,
  Remove: IconTrash,
  Replay: IconRepeat,
  Rotate: IconRotate,
  Show: IconListDetails,
  Synchronize: IconRefresh,
  Test: IconPlayerPlay,
  Unlink: IconUnlink,
};

type Word = keyof typeof ICONS;

interface Props {
  /** The label, e.g. Edit. */
  word: Word;
  /** The name of the item. */
  name: string;
  onClick: () => void;
}

/** A common action of a row. Its label is the word and the name of the item. */
export function RowAction({ word, name, onClick }: Props) {
  return <RowButton label={`${word} ${name}`} icon={ICONS[word]} onClick={onClick} />;
}

interface RemoveProps {
  word?: Word;
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
