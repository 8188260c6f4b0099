import { Alert, Button, type ButtonProps, Group, Modal, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useMutation } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { messageOf } from '../api/client';

interface Props {
  /** Heading of the question, e.g. "Delete this session?". */
  title: string;
  /** What will happen, with names and counts. */
  children: ReactNode;
  /** The word on the button that does it. */
  action: string;
  onConfirm: () => Promise<unknown>;
  /** The thing that opens the question. */
  trigger: (open: () => void) => ReactNode;
  color?: ButtonProps['color'];
}

/** Ask before something that cannot be undone; a refusal stays in the dialogue with its reason. */
export function Confirm({ title, children, action, onConfirm, trigger, color = 'red' }: Props) {
  const [opened, { open, close }] = useDisclosure(false);
  const run = useMutation({ mutationFn: onConfirm, onSuccess: close });
  const start = () => {
    run.reset();
    open();
  };
  return (
    <>
      {trigger(start)}
      <Modal opened={opened} onClose={close} title={<Text fw={650}>{title}</Text>}>
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
    </>
  );
}
