import { Button, Center, Code, Stack, Text, Title } from '@mantine/core';
import { Component, type ReactNode } from 'react';

/** The messages of browsers for a module that could not be loaded. */
const NOT_FETCHED = /dynamically imported module|importing a module script failed|preload CSS/i;

/** Replaces a failed page with the reason and the actions that help. */
export class ErrorBoundary extends Component<{ children: ReactNode }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };

  static getDerivedStateFromError(error: Error) {
    return { error };
  }

  override render() {
    if (!this.state.error) return this.props.children;
    const isFetch = NOT_FETCHED.test(this.state.error.message);
    return (
      <Center mih="60vh" p="md">
        <Stack align="center" maw={520}>
          <Title order={1} fz={24}>
            {isFetch ? 'A part of this page did not load' : 'This page has an error'}
          </Title>
          <Text c="dimmed" ta="center">
            {isFetch
              ? 'Your sessions are not affected. Check your network and reload.'
              : 'Your sessions are not affected. Reload the page.'}
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
