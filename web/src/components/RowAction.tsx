import { t } from '@lingui/core/macro';
import {
  IconCheck,
  IconEdit,
  IconEye,
  IconKey,
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
const WORDS = {
  Approve: { icon: IconCheck, label: (name: string) => t`Approve ${name}` },
  Delete: { icon: IconTrash, label: (name: string) => t`Delete ${name}` },
  Edit: { icon: IconEdit, label: (name: string) => t`Edit ${name}` },
  Preview: { icon: IconEye, label: (name: string) => t`Preview ${name}` },
  'Read again': { icon: IconRefresh, label: (name: string) => t`Read again ${name}` },
  'Read keys': { icon: IconKey, label: (name: string) => t`Read the keys of ${name} now` },
  Remove: { icon: IconTrash, label: (name: string) => t`Remove ${name}` },
  Replay: { icon: IconRepeat, label: (name: string) => t`Replay ${name}` },
  Rotate: { icon: IconRotate, label: (name: string) => t`Rotate ${name}` },
  Show: { icon: IconListDetails, label: (name: string) => t`Show ${name}` },
  Synchronize: { icon: IconRefresh, label: (name: string) => t`Synchronize ${name}` },
  Test: { icon: IconPlayerPlay, label: (name: string) => t`Test ${name}` },
  Unlink: { icon: IconUnlink, label: (name: string) => t`Unlink ${name}` },
};

type Word = keyof typeof WORDS;

interface Props {
  /** The action; its label has the language of the console. */
  word: Word;
  /** The name of the item. */
  name: string;
  onClick: () => void;
}

/** A common action of a row. Its label has the word and the name of the item. */
export function RowAction({ word, name, onClick }: Props) {
  const { icon, label } = WORDS[word];
  return <RowButton label={label(name)} icon={icon} onClick={onClick} />;
}

/** The words for the removal of an item, and the questions before it. */
const REMOVALS = {
  Delete: { action: t`Delete`, question: (name: string) => t`Delete ${name}?` },
  Remove: { action: t`Remove`, question: (name: string) => t`Remove ${name}?` },
};

interface RemoveProps {
  word?: keyof typeof REMOVALS;
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
  const { action, question: ask } = REMOVALS[word];
  return (
    <Confirm
      title={ask(noun ? t`${noun} ${name}` : name)}
      action={action}
      trigger={(open) => <RowAction word={word} name={name} onClick={open} />}
      {...question}
    >
      {children}
    </Confirm>
  );
}
