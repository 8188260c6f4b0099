import { t } from '@lingui/core/macro';
import { Burger } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { Outlet, useLocation } from 'react-router';
import { ErrorBoundary } from './ErrorBoundary';
import { Frame } from './Frame';
import { HeaderBar } from './HeaderBar';
import { Navigation, Tabs } from './Navigation';

/** Header, navigation and one page of the administration. */
export function AdminLayout() {
  const [opened, { toggle, close }] = useDisclosure(false);
  const { pathname } = useLocation();
  return (
    <Frame
      header={
        <HeaderBar>
          <Burger
            hiddenFrom="sm"
            size="sm"
            opened={opened}
            onClick={toggle}
            aria-label={t`Menu`}
            aria-expanded={opened}
          />
        </HeaderBar>
      }
      side={<Navigation pathname={pathname} onNavigate={close} />}
      isSideOpen={opened}
    >
      <Tabs pathname={pathname} />
      <ErrorBoundary key={pathname}>
        <Outlet />
      </ErrorBoundary>
    </Frame>
  );
}
