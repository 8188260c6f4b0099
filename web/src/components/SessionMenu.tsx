import { t } from '@lingui/core/macro';
import { ActionIcon } from '@mantine/core';
import { IconDots } from '@tabler/icons-react';
import { useState } from 'react';
import { orderSession, type Ordered } from '../api/actions';
import type { SessionAction } from '../api/types';
import { ConfirmDialog } from './Confirm';
import { LateMenu } from './LateMenu';
import { ACTIONS, type Home, type Look, offered, ownLook, useSessionOrder } from './sessionActions';

interface Props {
  session: Ordered & Home & { actions: SessionAction[] };
  /** The name of the session, e.g. "Desktop". */
  name: string;
  /** The actions that the page shows elsewhere. */
  without?: SessionAction[];
}

/** The allowed actions of the user of a session, as a menu. Actions that lose data ask first. */
export function SessionMenu({ session, name, without = [] }: Props) {
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session);
  const choices = offered(session.actions).filter((action) => !without.includes(action));
  if (choices.length === 0) return null;
  const take = (action: SessionAction) => (ownLook(action, session).warning ? setAsked(action) : order.mutate(action));
  const entries = choices.map((action) => {
    const { label, icon } = ownLook(action, session);
    return { label, icon, onClick: () => take(action) };
  });
  return (
    <>
      <LateMenu label={t`More for ${name}`} entries={entries}>
        {(trigger) => (
          <ActionIcon
            {...trigger}
            variant="subtle"
            color="gray"
            aria-label={t`More for ${name}`}
            loading={order.isPending}
          >
            <IconDots size={17} color="var(--mantine-color-text)" aria-hidden />
          </ActionIcon>
        )}
      </LateMenu>
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
  /** The owner and the name, e.g. "ada’s Desktop". */
  name: string;
  /** The requested action; null = none. */
  action: SessionAction | null;
  /** The labels of the actions; without it those of `ACTIONS`. */
  look?: (action: SessionAction) => Look;
  onClose: () => void;
}

/** Asks before an action that loses data. */
export function OrderQuestion({ session, name, action, look = (each) => ACTIONS[each], onClose }: QuestionProps) {
  const { label, warning, question } = action ? look(action) : { label: '', warning: '', question: () => '' };
  return (
    <ConfirmDialog
      opened={action !== null}
      onClose={onClose}
      title={question(name)}
      action={label}
      color={action === 'stop' ? 'accent' : 'failure'}
      onConfirm={() => (action ? orderSession(session, action) : Promise.resolve())}
      touched={['sessions', 'connection', 'staging-configs']}
    >
      {warning}
    </ConfirmDialog>
  );
}
