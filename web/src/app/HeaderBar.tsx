import { Button, Group } from '@mantine/core';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router';
import { useMe } from '../api/auth';
import { isAdministrator } from '../places';
import { AccountMenu } from './AccountMenu';
import { Brand } from './Brand';
import { LiveBadge } from './LiveBadge';
import { SchemeButton } from './SchemeButton';

/** The bar at the top of all pages except the session page. `children` are shown before the name. */
export function HeaderBar({ children }: { children?: ReactNode }) {
  const me = useMe();
  const inAdmin = useLocation().pathname.startsWith('/admin');
  return (
    <Group h="100%" px="md" justify="space-between" wrap="nowrap">
      <Group gap="sm" wrap="nowrap">
        {children}
        <Brand />
      </Group>
      <Group gap="xs" wrap="nowrap">
        <LiveBadge />
        {isAdministrator(me) && (
          <Button
            component={Link}
            to={inAdmin ? '/' : '/admin'}
            variant="subtle"
            size="compact-sm"
            px={{ base: 4, sm: 'xs' }}
            style={{ flexShrink: 0 }}
          >
            {inAdmin ? 'Launcher' : 'Administration'}
          </Button>
        )}
        <SchemeButton />
        {me && <AccountMenu username={me.user.username} />}
      </Group>
    </Group>
  );
}
