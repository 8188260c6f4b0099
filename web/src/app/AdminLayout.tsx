import { AppShell, Burger, NavLink, ScrollArea, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Link, Outlet, useLocation } from 'react-router';
import { useMe } from '../api/auth';
import { mayOpen, placesIn, SECTIONS } from '../places';
import { ErrorBoundary } from './ErrorBoundary';
import { HeaderBar } from './HeaderBar';

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
  const me = useMe();
  return SECTIONS.map((section) => {
    const open = placesIn(section).filter((place) => mayOpen(me, place));
    if (open.length === 0) return null;
    return (
      <div key={section} role="group" aria-label={section}>
        {section !== 'Overview' && (
          <Text size="xs" fw={650} c="dimmed" px="sm" pt="md" pb={4}>
            {section}
          </Text>
        )}
        {open.map(({ path, title, link = title, icon: Icon }) => (
          <NavLink
            key={path}
            component={Link}
            to={path}
            label={link}
            active={isBelow(pathname, path)}
            onClick={onNavigate}
            aria-current={isBelow(pathname, path) ? 'page' : undefined}
            leftSection={<Icon size={18} aria-hidden />}
            style={{ borderRadius: 8 }}
          />
        ))}
      </div>
    );
  });
}

/** Whether the page at `pathname` belongs to the list at `path`. */
function isBelow(pathname: string, path: string): boolean {
  return pathname === path || (path !== '/admin' && pathname.startsWith(`${path}/`));
}
