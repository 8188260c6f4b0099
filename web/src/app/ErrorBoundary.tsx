import { Button, Center, Code, Stack, Text, Title } from '@mantine/core';
import { Component, type ReactNode } from 'react';

/** A defect of one page never leaves a blank window: it is named, and there is a way on. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <Center mih="60vh" p="md">
        <Stack align="center" maw={520}>
          <Title order={1} fz={24}>
            This page has a defect
          </Title>
          <Text c="dimmed" ta="center">
            Your sessions are not affected. Reloading usually helps.
          </Text>
          <Code block>{this.state.error.message}</Code>
          <Button onClick={() => location.reload()}>Reload</Button>
          <Button variant="subtle" component="a" href="/">
            To the workspaces
          </Button>
        </Stack>
      </Center>
    );
  }
}
