import { ActionIcon, Button, Group, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMoon, IconSettings, IconSun } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router';
import { meQuery } from '../api/auth';
import { AccountMenu } from './AccountMenu';
import { Brand } from './Brand';
import { isAdministrator } from './navigation';
import { LiveBadge } from './LiveBadge';

/** The bar at the top of every page but the session's. `children` stand before the name. */
export function HeaderBar({ children }: { children?: ReactNode }) {
  const { data: me } = useQuery(meQuery);
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
            leftSection={inAdmin ? undefined : <IconSettings size={16} aria-hidden />}
          >
            {inAdmin ? 'Workspaces' : 'Administration'}
          </Button>
        )}
        <SchemeButton />
        {me && <AccountMenu username={me.user.username} />}
      </Group>
    </Group>
  );
}

function SchemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? 'Use light colours' : 'Use dark colours';
  return (
    <Tooltip label={label}>
      <ActionIcon
        variant="subtle"
        color="gray"
        size="lg"
        aria-label={label}
        onClick={() => setColorScheme(dark ? 'light' : 'dark')}
      >
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}
