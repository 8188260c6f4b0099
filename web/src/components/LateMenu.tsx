import type { TablerIcon } from '@tabler/icons-react';
import { type ReactNode, Suspense, useRef, useState } from 'react';
import styles from './LateMenu.module.css';
import { lazily } from './lazily';
import type { Props as ListProps } from './MenuList';

const load = () => import('./MenuList');
const MenuList = lazily<'MenuList', ListProps>(load, 'MenuList');

export interface Entry {
  label: string;
  icon: TablerIcon;
  /** A page of the console, or an address outside of it; otherwise `onClick`. */
  to?: string;
  href?: string;
  opensWindow?: boolean;
  onClick?: () => void;
}

interface Props {
  /** The name of the menu. */
  label: string;
  entries: Entry[];
  /** The button with these properties. */
  children: (trigger: Trigger) => ReactNode;
}

type Trigger = Record<'onClick' | 'onPointerDown' | 'onPointerEnter' | 'onFocus', () => void> & {
  'aria-haspopup': 'menu';
  'aria-expanded': boolean;
};

/** A button with a menu. The code of menus is loaded when the pointer or the focus reaches the first such button. */
export function LateMenu({ label, entries, children }: Props) {
  const [isNear, setNear] = useState(false);
  const [isOpen, setOpen] = useState(false);
  const wasOpen = useRef(false); // the press itself has closed an open menu before the click
  const approach = () => setNear(true);
  const trigger: Trigger = {
    'aria-haspopup': 'menu',
    'aria-expanded': isOpen,
    onPointerEnter: approach,
    onFocus: approach,
    onPointerDown: () => (wasOpen.current = isOpen),
    onClick: () => {
      approach();
      setOpen(!wasOpen.current);
      wasOpen.current = false;
    },
  };
  return (
    <span className={styles.place}>
      {children(trigger)}
      {isNear && (
        <Suspense>
          <MenuList label={label} entries={entries} opened={isOpen} onClose={() => setOpen(false)} />
        </Suspense>
      )}
    </span>
  );
}
