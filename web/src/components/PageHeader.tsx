import { Group, Stack, Text, Title } from '@mantine/core';
import { type ReactNode, useEffect } from 'react';

interface Props {
  title: string;
  /** One sentence: a description of the page, or the counts. */
  children?: ReactNode;
  actions?: ReactNode;
}

/** The heading of a page. It also sets the title of the browser tab. */
export function PageHeader({ title, children, actions }: Props) {
  useEffect(() => {
    document.title = `${title} · Greenroom`;
  }, [title]);
  return (
    <Group justify="space-between" align="flex-end" mb="md">
      <Stack gap={2} flex="1 1 320px">
        <Title order={1}>{title}</Title>
        {children && (
          <Text c="dimmed" size="sm" component="div">
            {children}
          </Text>
        )}
      </Stack>
      {actions && <Group gap="sm">{actions}</Group>}
    </Group>
  );
}
