import { Alert, Center, Stack, Text, ThemeIcon } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import { IconCloudOff, type TablerIcon } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { isTemporary, messageOf } from '../api/client';

const SHARED = {
  withBorder: true,
  styles: { description: { color: 'var(--mantine-color-dimmed)' } },
  closeButtonProps: { 'aria-label': 'Dismiss' },
};

/** Show that an action was refused or failed, with the reason. */
export function showError(title: string, error: unknown): void {
  notifications.show({ ...SHARED, color: 'red', title, message: messageOf(error), autoClose: 10_000 });
}

export function showDone(message: string, color = 'accent'): void {
  notifications.show({ ...SHARED, color, message });
}

/** Show that an action was done with a warning. The notice stays long enough to be read. */
export function showWarning(title: string, message: string): void {
  notifications.show({ ...SHARED, color: 'yellow', title, message, autoClose: 20_000 });
}

/** A notice above data that could not be updated, or instead of missing data. */
export function StaleBanner({ error, hasData }: { error: unknown; hasData: boolean }) {
  if (!error) return null;
  const away = isTemporary(error);
  return (
    <Alert
      color={away ? 'yellow' : 'red'}
      variant="light"
      role="status"
      icon={<IconCloudOff aria-hidden />}
      title={away ? 'The server does not answer at the moment' : 'This could not be loaded'}
    >
      <Text size="sm">
        {away ? '' : `${messageOf(error)} `}
        {hasData
          ? 'This page shows the last known state and is updated automatically.'
          : away
            ? 'The page tries again automatically.'
            : ''}
      </Text>
    </Alert>
  );
}

interface EmptyProps {
  icon: TablerIcon;
  title: string;
  children?: ReactNode;
  action?: ReactNode;
  /** The notice replaces the whole page, so its title is the heading. */
  isPage?: boolean;
}

/** An empty list: a description of its items and the way to create the first one. */
export function EmptyState({ icon: Icon, title, children, action, isPage = false }: EmptyProps) {
  return (
    <Center py={48} px="md">
      <Stack align="center" gap="sm" maw={460}>
        <ThemeIcon variant="light" size={52} radius="xl">
          <Icon size={26} aria-hidden />
        </ThemeIcon>
        <Text component={isPage ? 'h1' : 'p'} m={0} fw={650} size="lg" ta="center">
          {title}
        </Text>
        {children && (
          <Text c="dimmed" ta="center" component="div" size="sm">
            {children}
          </Text>
        )}
        {action}
      </Stack>
    </Center>
  );
}
