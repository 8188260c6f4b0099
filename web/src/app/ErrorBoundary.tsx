import { Button, Center, Code, Stack, Text, Title } from '@mantine/core';
import { Component, type ReactNode } from 'react';

/** How browsers word it that a module could not be fetched. */
const NOT_FETCHED = /dynamically imported module|importing a module script failed|preload CSS/i;

/** A page that fails never leaves a blank window: the reason is named, and there is a way on. */
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
            {isFetch ? 'A part of this page did not load' : 'This page has a defect'}
          </Title>
          <Text c="dimmed" ta="center">
            {isFetch
              ? 'Your sessions are not affected. Check your network and reload.'
              : 'Your sessions are not affected. Reloading usually helps.'}
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
