import { Button, Menu, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconChevronDown, IconHelpCircle, IconKey, IconLifebuoy, IconLogout, IconUser } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useBranding } from '../api/branding';
import { placesIn } from '../places';
import { PasswordForm } from './PasswordForm';
import { useLogOut } from './useLogOut';

/** The menu with the name of the user and the pages of the account. */
export function AccountMenu({ username }: { username: string }) {
  const [changing, { open, close }] = useDisclosure(false);
  const leave = useLogOut();
  const { support_url } = useBranding();
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <Button
            variant="subtle"
            color="gray"
            size="compact-sm"
            c="var(--mantine-color-text)"
            leftSection={<IconUser size={16} aria-hidden />}
            px={{ base: 4, sm: 'xs' }}
            rightSection={<IconChevronDown size={14} aria-hidden />}
            aria-label={`Account ${username}`}
          >
            <Text span size="sm" truncate maw={180} visibleFrom="sm">
              {username}
            </Text>
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          {placesIn('Account').map(({ path, title, link = title, icon: Icon }) => (
            <Menu.Item key={path} component={Link} to={path} leftSection={<Icon size={16} aria-hidden />}>
              {link}
            </Menu.Item>
          ))}
          <Menu.Item leftSection={<IconKey size={16} aria-hidden />} onClick={open}>
            Change password
          </Menu.Item>
          <Menu.Item component="a" href="/help" target="_blank" leftSection={<IconHelpCircle size={16} aria-hidden />}>
            Help
          </Menu.Item>
          {support_url && (
            <Menu.Item component="a" href={support_url} leftSection={<IconLifebuoy size={16} aria-hidden />}>
              Support
            </Menu.Item>
          )}
          <Menu.Item leftSection={<IconLogout size={16} aria-hidden />} onClick={() => leave.mutate()}>
            Log out
          </Menu.Item>
        </Menu.Dropdown>
      </Menu>
      {changing && <PasswordForm onClose={close} />}
    </>
  );
}
