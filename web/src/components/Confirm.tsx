import { Button, type ButtonProps } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { type ReactNode, Suspense } from 'react';
import { useNavigate } from 'react-router';
import { useIsInPanel, usePanel } from './address';
import { useOnceWanted } from './lateOpen';
import { lazily } from './lazily';

interface QuestionProps {
  /** The title of the dialog, e.g. "Delete this session?". */
  title: string;
  /** The consequence, with names and counts. */
  children: ReactNode;
  /** The label of the button that confirms. */
  action: string;
  onConfirm: () => Promise<unknown>;
  /** Lists to read again afterwards. */
  touched?: string[];
  color?: ButtonProps['color'];
}

export interface DialogProps extends QuestionProps {
  opened: boolean;
  onClose: () => void;
}

const ConfirmModal = lazily<'ConfirmModal', DialogProps>(() => import('./ConfirmModal'), 'ConfirmModal');

/** A confirmation of an action that cannot be undone. Its code is loaded when it is opened first. */
export function ConfirmDialog(props: DialogProps) {
  if (!useOnceWanted(props.opened)) return null;
  return (
    <Suspense>
      <ConfirmModal {...props} />
    </Suspense>
  );
}

interface Props extends QuestionProps {
  /** The label of the button that opens the dialog, or a function that renders another element. */
  trigger: string | ((open: () => void) => ReactNode);
  /** The list to open after the action. The panel beside a list is closed. */
  to?: string | undefined;
}

/** `ConfirmDialog` with the element that opens it. */
export function Confirm({ trigger, to, onConfirm, ...question }: Props) {
  const navigate = useNavigate();
  const isInPanel = useIsInPanel();
  const panel = usePanel();
  const [opened, { open, close }] = useDisclosure(false);
  const run = async () => {
    await onConfirm();
    if (to && isInPanel) panel.close();
    else if (to) await navigate(to);
  };
  return (
    <>
      {typeof trigger === 'string' ? (
        <Button variant="default" onClick={open}>
          {trigger}
        </Button>
      ) : (
        trigger(open)
      )}
      <ConfirmDialog opened={opened} onClose={close} onConfirm={run} {...question} />
    </>
  );
}
