import { t } from '@lingui/core/macro';
import { IconDots, IconPlayerPlay, IconTrash } from '@tabler/icons-react';
import { useMe } from '../../../api/auth';
import type { Session } from '../../../api/types';
import { RowButton } from '../../../components/RowButton';
import { inMenu, useRowMenu } from './SharedRowMenu';

/** The actions in the row of a session. */
export function RowActions({ session }: { session: Session }) {
  const me = useMe();
  const menu = useRowMenu();
  const id = session.session_id;
  return (
    <>
      {session.user_id === me?.user.user_id && session.user_id && (
        <RowButton label={t`Open ${id}`} icon={IconPlayerPlay} to={`/session/${session.session_id}`} />
      )}
      <RowButton
        label={t`Delete ${id}`}
        icon={IconTrash}
        onClick={() => menu.take(session, 'delete')}
        disabled={!session.actions.includes('delete')}
      />
      {inMenu(session).length > 0 && (
        <RowButton
          label={t`More for ${id}`}
          icon={IconDots}
          menu
          onClick={(event) => menu.open(session, event.currentTarget)}
        />
      )}
    </>
  );
}
