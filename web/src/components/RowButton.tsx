import type { TablerIcon } from '@tabler/icons-react';
import type { MouseEvent } from 'react';
import { Link } from 'react-router';

interface Props {
  /** What it does, with the name of the thing. */
  label: string;
  icon: TablerIcon;
  /** Address to go to, or what to do. */
  to?: string;
  onClick?: (event: MouseEvent<HTMLElement>) => void;
  disabled?: boolean;
  /** It opens a menu. */
  menu?: boolean;
}

/** An action of a table's row. */
export function RowButton({ label, icon: Icon, to, onClick, disabled = false, menu = false }: Props) {
  const look = { className: 'row-button mantine-focus-auto mantine-active', 'aria-label': label, 'data-hint': label };
  const icon = <Icon size={17} aria-hidden />;
  if (to)
    return (
      <Link to={to} {...look}>
        {icon}
      </Link>
    );
  return (
    <button
      type="button"
      {...look}
      disabled={disabled}
      onClick={onClick}
      {...(menu ? { 'aria-haspopup': 'menu' } : {})}
    >
      {icon}
    </button>
  );
}
