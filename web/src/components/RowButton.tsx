import type { TablerIcon } from '@tabler/icons-react';
import type { MouseEvent } from 'react';
import { Link } from 'react-router';

interface Props {
  /** The action with the name of the item. */
  label: string;
  icon: TablerIcon;
  /** The address to open, or the action. */
  to?: string;
  onClick?: (event: MouseEvent<HTMLElement>) => void;
  disabled?: boolean;
  /** It opens a menu. */
  menu?: boolean;
}

/** An action of a row, as an icon button. */
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
