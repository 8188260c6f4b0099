import { Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconPlayerPlay, IconTrash } from '@tabler/icons-react';
import { orderSession } from '../../../api/actions';
import { meQuery } from '../../../api/auth';
import type { Session } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { RowButton } from '../../../components/RowButton';
import { SessionMenu } from '../../../components/SessionMenu';
import { type Kind, kindOf } from './kinds';

/** Whose and which, as sentences name a session. */
export function nameOf(session: Session): string {
  return session.username
    ? `${session.username}’s ${session.image_friendly_name}`
    : `this ${kindOf(session) === 'set aside' ? 'set aside' : 'staged'} ${session.image_friendly_name}`;
}

/** What can be done with a session in its row. */
export function RowActions({ session }: { session: Session }) {
  const { data: me } = useQuery(meQuery);
  const name = nameOf(session);
  return (
    <Group gap={2} justify="flex-end" wrap="nowrap">
      {session.user_id === me?.user.user_id && session.user_id && (
        <RowButton label={`Open ${session.session_id}`} icon={IconPlayerPlay} to={`/session/${session.session_id}`} />
      )}
      <Confirm
        title={`Delete ${name}?`}
        action="Delete"
        onConfirm={() => orderSession(session, 'delete')}
        touched={['sessions', 'staging-configs']}
        trigger={(open) => (
          <RowButton
            label={`Delete ${session.session_id}`}
            icon={IconTrash}
            onClick={open}
            disabled={!session.actions.includes('delete')}
          />
        )}
      >
        {consequence(session)[kindOf(session)]}
      </Confirm>
      <SessionMenu session={session} name={name} without={['delete']} />
    </Group>
  );
}

function consequence({ zone_name }: Session): Record<Kind, string> {
  return {
    'in use': `The session in zone ${zone_name} ends, and everything in it that was not saved elsewhere is lost.`,
    staged: 'The pool replaces it by a new one.',
    'set aside': 'Its container is removed, and cannot be looked at any more.',
  };
}
