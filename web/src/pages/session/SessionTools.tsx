import { IconArrowBackUp } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { Session, SessionAction } from '../../api/types';
import { Confirm } from '../../components/Confirm';
import { OrderQuestion } from '../../components/SessionMenu';
import { ACTIONS, useSessionOrder } from '../../components/sessionActions';
import { Tool } from './Tool';

interface Props {
  /** Undefined until it is known what may be done. */
  session: Session | undefined;
  onDelete: () => Promise<unknown>;
}

/** Leave, pause, stop, delete: what the person may do with the session that is open. */
export function SessionTools({ session, onDelete }: Props) {
  const navigate = useNavigate();
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session ?? { session_id: '' });
  const may = (action: SessionAction) => session?.actions.includes(action) ?? false;
  const { delete: remove, pause, stop } = ACTIONS;
  return (
    <>
      <Tool
        label="Leave (the session goes on)"
        name="Leave"
        icon={IconArrowBackUp}
        onClick={() => void navigate('/')}
      />
      {may('pause') && (
        <Tool
          label="Pause (programs are frozen until you resume)"
          name={pause.label}
          icon={pause.icon}
          onClick={() => order.mutate('pause')}
        />
      )}
      {may('stop') && (
        <Tool
          label="Stop (programs end, the disk is kept)"
          name={stop.label}
          icon={stop.icon}
          onClick={() => setAsked('stop')}
        />
      )}
      {may('delete') && (
        <Confirm
          title="Delete this session?"
          action="Delete"
          trigger={(open) => <Tool label="Delete the session" name={remove.label} icon={remove.icon} onClick={open} />}
          onConfirm={onDelete}
        >
          {remove.warning}
        </Confirm>
      )}
      {session && <OrderQuestion session={session} name="this session" action={asked} onClose={() => setAsked(null)} />}
    </>
  );
}
