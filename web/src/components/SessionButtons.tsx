import { Button, Group } from '@mantine/core';
import { useState } from 'react';
import type { Ordered } from '../api/actions';
import type { SessionAction } from '../api/types';
import { useAskedAction } from './askedAction';
import { OrderQuestion } from './SessionMenu';
import { ACTIONS, offered, useSessionOrder } from './sessionActions';

interface Props {
  session: Ordered & { actions: SessionAction[] };
  name: string;
}

/** The allowed actions of a session, as buttons. Actions that lose data ask first. */
export function SessionButtons({ session, name }: Props) {
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session);
  useAskedAction((action) => setAsked(session.actions.find((each) => each === action) ?? null));
  return (
    <Group gap="xs">
      {offered(session.actions).map((action) => {
        const { label, icon: Icon, warning } = ACTIONS[action];
        return (
          <Button
            key={action}
            variant="default"
            size="sm"
            leftSection={<Icon size={16} aria-hidden />}
            loading={order.isPending && order.variables === action}
            onClick={() => (warning ? setAsked(action) : order.mutate(action))}
          >
            {label}
          </Button>
        );
      })}
      <OrderQuestion session={session} name={name} action={asked} onClose={() => setAsked(null)} />
    </Group>
  );
}
