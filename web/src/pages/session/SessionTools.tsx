import { t } from '@lingui/core/macro';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import type { Session, SessionAction } from '../../api/types';
import { Confirm } from '../../components/Confirm';
import { OrderQuestion } from '../../components/SessionMenu';
import { ACTIONS, keptOf, ownLook, useSessionOrder } from '../../components/sessionActions';
import { Company } from '../share/Company';
import { ToolRow } from './ToolRow';

interface Props {
  /** Undefined until the allowed actions are loaded. */
  session: Session | undefined;
  onDelete: () => Promise<unknown>;
}

/** The actions of the open session: share, leave, pause and stop it, and the one that loses files. */
export function SessionTools({ session, onDelete }: Props) {
  const navigate = useNavigate();
  const [asked, setAsked] = useState<SessionAction | null>(null);
  const order = useSessionOrder(session ?? { session_id: '' });
  const may = (action: SessionAction) => session?.actions.includes(action) ?? false;
  const { pause, stop } = ACTIONS;
  const discard = session && ownLook('delete', session);
  const kept = session ? keptOf(session) : '';
  return (
    <>
      {session && <Company session={session} />}
      {may('pause') && (
        <ToolRow
          name={pause.label}
          hint={t`Programs are frozen until you resume`}
          icon={pause.icon}
          onClick={() => order.mutate('pause')}
        />
      )}
      {may('stop') && (
        <ToolRow
          name={stop.label}
          hint={t`Programs end. You have your files again when you resume`}
          icon={stop.icon}
          onClick={() => setAsked('stop')}
        />
      )}
      {discard && may('delete') && (
        <Confirm
          title={t`Delete this session?`}
          action={discard.label}
          trigger={(open) => (
            <ToolRow name={discard.label} hint={t`The session ends. ${kept}`} icon={discard.icon} onClick={open} />
          )}
          onConfirm={onDelete}
        >
          {discard.warning}
        </Confirm>
      )}
      <ToolRow
        name={t`Leave`}
        hint={t`The session continues`}
        icon={IconArrowBackUp}
        onClick={() => void navigate('/')}
      />
      {session && (
        <OrderQuestion
          session={session}
          name={t`this session`}
          action={asked}
          look={(action) => ownLook(action, session)}
          onClose={() => setAsked(null)}
        />
      )}
    </>
  );
}
