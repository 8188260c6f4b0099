import { CloseButton, Group, Paper, Stack, Title } from '@mantine/core';
import type { ReactNode } from 'react';

interface Props {
  title: string;
  /** The name of the region for screen readers, if it is not the title. */
  label?: string;
  /** The label of the button that closes the panel. */
  close: string;
  onClose: () => void;
  width?: number;
  /** Whether the button that closes the panel gets the focus. */
  focusesClose?: boolean;
  children: ReactNode;
}

/** A panel of the bar of a session, over the desktop. In a small window it fills the available space. */
export function Panel({ title, label = title, close, onClose, width = 340, focusesClose = false, children }: Props) {
  return (
    <Paper
      component="section"
      aria-label={label}
      className="surface"
      withBorder
      shadow="lg"
      p="md"
      radius="md"
      pos="fixed"
      top="calc(var(--control-bar, 40px) + 16px)"
      right={16}
      w={width}
      maw="calc(100vw - 32px)"
      mah="calc(100vh - var(--control-bar, 40px) - 32px)"
      style={{ zIndex: 11, overflowY: 'auto' }}
    >
      <Stack gap="sm">
        <Group justify="space-between" wrap="nowrap">
          <Title order={2} fz={16}>
            {title}
          </Title>
          <CloseButton aria-label={close} onClick={onClose} autoFocus={focusesClose} />
        </Group>
        {children}
      </Stack>
    </Paper>
  );
}
