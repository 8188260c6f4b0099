import { AppShell, Container } from '@mantine/core';
import { Outlet, useLocation } from 'react-router';
import { ErrorBoundary } from './ErrorBoundary';
import { HeaderBar } from './HeaderBar';

/** Header and one page, without the administration's navigation. */
export function UserLayout() {
  const { pathname } = useLocation();
  return (
    <AppShell header={{ height: 56 }} padding={{ base: 'md', lg: 'xl' }}>
      <a className="skip-link" href="#content">
        To the content
      </a>
      <AppShell.Header className="surface">
        <HeaderBar />
      </AppShell.Header>
      <AppShell.Main id="content" tabIndex={-1} style={{ outline: 'none' }}>
        <Container size="xl" px={0}>
          <ErrorBoundary key={pathname}>
            <Outlet />
          </ErrorBoundary>
        </Container>
      </AppShell.Main>
    </AppShell>
  );
}
