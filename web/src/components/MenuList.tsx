import { Menu } from '@mantine/core';
import { Link } from 'react-router';
import styles from './LateMenu.module.css';
import type { Entry } from './LateMenu';
import { useOpenedAfterMount } from './lateOpen';

export interface Props {
  label: string;
  entries: Entry[];
  opened: boolean;
  onClose: () => void;
}

/** The open menu of a `LateMenu`. */
export function MenuList({ label, entries, opened, onClose }: Props) {
  return (
    <Menu
      opened={useOpenedAfterMount(opened)}
      onClose={onClose}
      position="bottom-end"
      withinPortal
      withInitialFocusPlaceholder={false} // a menu may contain only items
    >
      <Menu.Target>
        <button type="button" tabIndex={-1} aria-hidden aria-label={label} className={styles.anchor} />
      </Menu.Target>
      <Menu.Dropdown>
        {entries.map((entry) => (
          <Item key={entry.label} entry={entry} />
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Item({ entry: { label, icon: Icon, to, href, opensWindow = false, onClick } }: { entry: Entry }) {
  const picture = <Icon size={16} aria-hidden />;
  if (to !== undefined)
    return (
      <Menu.Item component={Link} to={to} leftSection={picture}>
        {label}
      </Menu.Item>
    );
  if (href !== undefined)
    return (
      <Menu.Item component="a" href={href} {...(opensWindow ? { target: '_blank' } : {})} leftSection={picture}>
        {label}
      </Menu.Item>
    );
  return (
    <Menu.Item leftSection={picture} onClick={onClick}>
      {label}
    </Menu.Item>
  );
}
