import { ActionIcon, Tooltip } from '@mantine/core';
import type { TablerIcon } from '@tabler/icons-react';
import { Link } from 'react-router';

interface Props {
  /** What it does, with the name of the thing. */
  label: string;
  icon: TablerIcon;
  /** Address to go to, or what to do. */
  to?: string;
  onClick?: () => void;
  disabled?: boolean;
}

/** An action of a table's row. */
export function RowButton({ label, icon: Icon, to, onClick, disabled }: Props) {
  const look = { variant: 'subtle', color: 'gray', 'aria-label': label } as const;
  const icon = <Icon size={17} color={disabled ? undefined : 'var(--mantine-color-text)'} aria-hidden />;
  return (
    <Tooltip label={label}>
      {to ? (
        <ActionIcon component={Link} to={to} {...look}>
          {icon}
        </ActionIcon>
      ) : (
        <ActionIcon {...look} disabled={disabled ?? false} onClick={onClick}>
          {icon}
        </ActionIcon>
      )}
    </Tooltip>
  );
}
