import { t } from '@lingui/core/macro';
import { Menu } from '@mantine/core';
import { useWindowEvent } from '@mantine/hooks';
import { createContext, type ReactNode, useContext, useMemo, useState } from 'react';
import { orderSession } from '../../../api/actions';
import type { Session, SessionAction } from '../../../api/types';
import { ConfirmDialog } from '../../../components/Confirm';
import { ACTIONS, offered } from '../../../components/sessionActions';
import { useAction } from '../../../components/useAction';
import { consequenceOf, nameOf } from './kinds';

interface RowMenu {
  /** Open the menu of a session below the button that was pressed. */
  open: (session: Session, button: HTMLElement) => void;
  /** Runs the action, or asks first if the action loses data. */
  take: (session: Session, action: SessionAction) => void;
}

const RowMenuContext = createContext<RowMenu | null>(null);

export function useRowMenu(): RowMenu {
  const menu = useContext(RowMenuContext);
  if (!menu) throw new Error('rows of sessions must be inside a SharedRowMenu');
  return menu;
}

/** The menu of a row: all allowed actions except the deletion, which has a separate button. */
export function inMenu(session: Session): SessionAction[] {
  return offered(session.actions).filter((action) => action !== 'delete');
}

/** The questions before the actions. */
const QUESTIONS: Record<SessionAction, (session: string) => string> = {
  resume: (session) => t`Resume ${session}?`,
  pause: (session) => t`Pause ${session}?`,
  stop: (session) => t`Stop ${session}?`,
  delete: (session) => t`Delete ${session}?`,
  force_delete: (session) => t`Force Delete ${session}?`,
};

const TOUCHED = ['sessions', 'connection', 'staging-configs'];

/** One menu and one dialog for all rows of the tables inside. A row only has the buttons that open them. */
export function SharedRowMenu({ children }: { children: ReactNode }) {
  const [shown, setShown] = useState<{ session: Session; at: DOMRect } | null>(null);
  const [asked, setAsked] = useState<{ session: Session; action: SessionAction } | null>(null);
  const order = useAction(
    ({ session, action }: { session: Session; action: SessionAction }) => orderSession(session, action),
    TOUCHED,
    t`The session was not changed`,
  );
  const { mutate } = order;
  const menu = useMemo<RowMenu>(
    () => ({
      open: (session, button) => setShown({ session, at: button.getBoundingClientRect() }),
      take: (session, action) =>
        ACTIONS[action].warning ? setAsked({ session, action }) : mutate({ session, action }),
    }),
    [mutate],
  );
  useWindowEvent('scroll', () => setShown(null)); // the row of the menu moves
  return (
    <RowMenuContext value={menu}>
      {children}
      <Menu
        opened={shown !== null}
        onClose={() => setShown(null)}
        position="bottom-end"
        withinPortal
        withInitialFocusPlaceholder={false} // a menu may contain only items
      >
        <Menu.Target>
          <button type="button" tabIndex={-1} aria-hidden className="menu-anchor" style={placeOf(shown?.at)} />
        </Menu.Target>
        <Menu.Dropdown>
          {shown &&
            inMenu(shown.session).map((action) => {
              const { label, icon: Icon } = ACTIONS[action];
              return (
                <Menu.Item
                  key={action}
                  leftSection={<Icon size={16} aria-hidden />}
                  onClick={() => menu.take(shown.session, action)}
                >
                  {label}
                </Menu.Item>
              );
            })}
        </Menu.Dropdown>
      </Menu>
      <ConfirmDialog
        opened={asked !== null}
        onClose={() => setAsked(null)}
        title={asked ? QUESTIONS[asked.action](nameOf(asked.session)) : ''}
        action={asked ? ACTIONS[asked.action].label : ''}
        onConfirm={() => (asked ? orderSession(asked.session, asked.action) : Promise.resolve())}
        touched={TOUCHED}
      >
        {asked && warningOf(asked.session, asked.action)}
      </ConfirmDialog>
    </RowMenuContext>
  );
}

function placeOf(at: DOMRect | undefined) {
  return at && { left: at.left, top: at.top, width: at.width, height: at.height };
}

function warningOf(session: Session, action: SessionAction): string | undefined {
  return action === 'delete' ? consequenceOf(session) : ACTIONS[action].warning;
}
