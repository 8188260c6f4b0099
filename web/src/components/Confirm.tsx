import { Alert, Button, type ButtonProps, Group, Modal, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { useNavigate } from 'react-router';
import { messageOf, retryTemporary } from '../api/client';

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

interface DialogProps extends QuestionProps {
  opened: boolean;
  onClose: () => void;
}

/** A confirmation of an action that cannot be undone. A refusal is shown in the dialog with its reason. */
export function ConfirmDialog(props: DialogProps) {
  const { opened, onClose, title, children, action, onConfirm, touched = [], color = 'red' } = props;
  const queries = useQueryClient();
  const run = useMutation({
    mutationFn: onConfirm,
    retry: retryTemporary,
    onSuccess: onClose,
    onSettled: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
  const close = () => {
    run.reset();
    onClose();
  };
  return (
    <Modal
      opened={opened}
      onClose={close}
      title={
        <Text component="span" fw={650}>
          {title}
        </Text>
      }
    >
      <Stack>
        <Text component="div" size="sm">
          {children}
        </Text>
        {run.isError && (
          <Alert color="red" variant="light" role="alert" title="Not done">
            {messageOf(run.error)}
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={close} data-autofocus>
            Cancel
          </Button>
          <Button color={color} loading={run.isPending} onClick={() => run.mutate()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}

interface Props extends QuestionProps {
  /** The label of the button that opens the dialog, or a function that renders another element. */
  trigger: string | ((open: () => void) => ReactNode);
  /** The page to open after the action. */
  to?: string | undefined;
}

/** `ConfirmDialog` with the element that opens it. */
export function Confirm({ trigger, to, onConfirm, ...question }: Props) {
  const navigate = useNavigate();
  const [opened, { open, close }] = useDisclosure(false);
  const run = async () => {
    await onConfirm();
    if (to) await navigate(to);
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
