import { AppShell, Burger, NavLink, ScrollArea, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Link, Outlet, useLocation } from 'react-router';
import { useAllowed } from '../api/auth';
import { ErrorBoundary } from './ErrorBoundary';
import { HeaderBar } from './HeaderBar';
import { SECTIONS } from './navigation';

/** Header, navigation and one page of the administration. */
export function AdminLayout() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const { pathname } = useLocation();
  return (
    <AppShell
      header={{ height: 56 }}
      navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !opened } }}
      padding={{ base: 'md', md: 'lg' }}
    >
      <a className="skip-link" href="#content">
        To the content
      </a>
      <AppShell.Header className="surface">
        <HeaderBar>
          <Burger hiddenFrom="sm" size="sm" opened={opened} onClick={toggle} aria-label="Menu" aria-expanded={opened} />
        </HeaderBar>
      </AppShell.Header>
      <AppShell.Navbar p="sm" className="surface" aria-label="Administration">
        <ScrollArea type="never">
          <Navigation pathname={pathname} onNavigate={close} />
        </ScrollArea>
      </AppShell.Navbar>
      <AppShell.Main id="content" tabIndex={-1} style={{ outline: 'none' }}>
        <ErrorBoundary key={pathname}>
          <Outlet />
        </ErrorBoundary>
      </AppShell.Main>
    </AppShell>
  );
}

function Navigation({ pathname, onNavigate }: { pathname: string; onNavigate: () => void }) {
  const allowed = useAllowed();
  return SECTIONS.map(({ title, places }) => {
    const open = places.filter(({ permission }) => !permission || allowed(permission));
    if (open.length === 0) return null;
    return (
      <div key={title ?? ''} role="group" aria-label={title ?? 'Overview'}>
        {title && (
          <Text size="xs" fw={650} c="dimmed" px="sm" pt="md" pb={4}>
            {title}
          </Text>
        )}
        {open.map(({ to, label, icon: Icon }) => (
          <NavLink
            key={to}
            component={Link}
            to={to}
            label={label}
            active={isBelow(pathname, to)}
            onClick={onNavigate}
            aria-current={isBelow(pathname, to) ? 'page' : undefined}
            leftSection={<Icon size={18} aria-hidden />}
            style={{ borderRadius: 8 }}
          />
        ))}
      </div>
    );
  });
}

/** Whether the page at `pathname` belongs to the list at `to`. */
function isBelow(pathname: string, to: string): boolean {
  return pathname === to || (to !== '/admin' && pathname.startsWith(`${to}/`));
}
