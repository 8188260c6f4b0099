import { ActionIcon, Menu } from '@mantine/core';
import { IconArrowBackUp, IconDots } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { Session, SessionAction } from '../../api/types';
import { Confirm } from '../../components/Confirm';
import { OrderQuestion } from '../../components/SessionMenu';
import { ACTIONS, ownLook, useSessionOrder } from '../../components/sessionActions';
import { Company } from '../share/Company';
import { Tool } from './Tool';

interface Props {
  /** Undefined until the allowed actions are loaded. */
  session: Session | undefined;
  onDelete: () => Promise<unknown>;
}

/** The actions of the open session: leave, stop, pause, and a menu with those that lose files. */
export function SessionTools({ session, onDelete }: Props) {
  const navigate = useNavigate();
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session ?? { session_id: '' });
  const may = (action: SessionAction) => session?.actions.includes(action) ?? false;
  const { pause, stop } = ACTIONS;
  const discard = session && ownLook('delete', session);
  return (
    <>
      <Tool
        label="Leave (the session continues)"
        name="Leave"
        icon={IconArrowBackUp}
        onClick={() => void navigate('/')}
      />
      {may('stop') && (
        <Tool
          label="Stop (programs end; you have all files again when you resume)"
          name={stop.label}
          icon={stop.icon}
          onClick={() => setAsked('stop')}
        />
      )}
      {may('pause') && (
        <Tool
          label="Pause (programs are frozen until you resume)"
          name={pause.label}
          icon={pause.icon}
          onClick={() => order.mutate('pause')}
        />
      )}
      {discard && may('delete') && (
        <Confirm
          title={`${discard.label} this session?`}
          action={discard.label}
          trigger={(open) => (
            <Menu position="bottom-end" withinPortal>
              <Menu.Target>
                <ActionIcon variant="subtle" color="gray" aria-label="More">
                  <IconDots size={18} color="var(--mantine-color-text)" aria-hidden />
                </ActionIcon>
              </Menu.Target>
              <Menu.Dropdown>
                <Menu.Item leftSection={<discard.icon size={16} aria-hidden />} onClick={open}>
                  {discard.label}
                </Menu.Item>
              </Menu.Dropdown>
            </Menu>
          )}
          onConfirm={onDelete}
        >
          {discard.warning}
        </Confirm>
      )}
      {session && <Company sessionId={session.session_id} />}
      {session && (
        <OrderQuestion
          session={session}
          name="this session"
          action={asked}
          look={(action) => ownLook(action, session)}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}
