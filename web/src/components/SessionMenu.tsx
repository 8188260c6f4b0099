import { ActionIcon, Menu } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import { useState } from 'react';
import { orderSession, type Ordered } from '../api/actions';
import type { SessionAction } from '../api/types';
import { ConfirmDialog } from './Confirm';
import { ACTIONS, type Home, type Look, offered, ownLook, useSessionOrder } from './sessionActions';

interface Props {
  session: Ordered & Home & { actions: SessionAction[] };
  /** Which, e.g. "Desktop". */
  name: string;
  /** What stands elsewhere on the page already. */
  without?: SessionAction[];
}

/** What its user may do with a session, as a menu; what loses something asks first. */
export function SessionMenu({ session, name, without = [] }: Props) {
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session);
  const choices = offered(session.actions).filter((action) => !without.includes(action));
  if (choices.length === 0) return null;
  const take = (action: SessionAction) => (ownLook(action, session).warning ? setAsked(action) : order.mutate(action));
  return (
    <>
      <Menu position="bottom-end" withinPortal>
        <Menu.Target>
          <ActionIcon
            variant="subtle"
            color="gray"
            aria-label={`More for ${session.session_id}`}
            loading={order.isPending}
          >
            <IconDots size={17} color="var(--mantine-color-text)" aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown>
          {choices.map((action) => {
            const { label, icon: Icon } = ownLook(action, session);
            return (
              <Menu.Item key={action} leftSection={<Icon size={16} aria-hidden />} onClick={() => take(action)}>
                {label}
              </Menu.Item>
            );
          })}
        </Menu.Dropdown>
      </Menu>
      <OrderQuestion
        session={session}
        name={name}
        action={asked}
        look={(action) => ownLook(action, session)}
        onClose={() => setAsked(null)}
      />
    </>
  );
}

interface QuestionProps {
  session: Ordered;
  /** Whose and which, e.g. "ada’s Desktop". */
  name: string;
  /** What was asked for; null = nothing. */
  action: SessionAction | null;
  /** How the actions are named; without it as in `ACTIONS`. */
  look?: (action: SessionAction) => Look;
  onClose: () => void;
}

/** Ask before an action that loses something. */
export function OrderQuestion({ session, name, action, look = (each) => ACTIONS[each], onClose }: QuestionProps) {
  const { label, warning } = action ? look(action) : { label: '', warning: '' };
  return (
    <ConfirmDialog
      opened={action !== null}
      onClose={onClose}
      title={`${label} ${name}?`}
      action={label}
      color={action === 'stop' ? 'teal' : 'red'}
      onConfirm={() => (action ? orderSession(session, action) : Promise.resolve())}
      touched={['sessions', 'connection', 'staging-configs']}
    >
      {warning}
    </ConfirmDialog>
  );
}
