import { ActionIcon, Group } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconDots, IconPlayerPlay, IconTrash } from '@tabler/icons-react';
import { meQuery } from '../../../api/auth';
import type { Session } from '../../../api/types';
import { RowButton } from '../../../components/RowButton';
import { inMenu, useRowMenu } from './SharedRowMenu';

/** What can be done with a session in its row. */
export function RowActions({ session }: { session: Session }) {
  const { data: me } = useQuery(meQuery);
  const menu = useRowMenu();
  return (
    <Group gap={2} justify="flex-end" wrap="nowrap">
      {session.user_id === me?.user.user_id && session.user_id && (
        <RowButton label={`Open ${session.session_id}`} icon={IconPlayerPlay} to={`/session/${session.session_id}`} />
      )}
      <RowButton
        label={`Delete ${session.session_id}`}
        icon={IconTrash}
        onClick={() => menu.take(session, 'delete')}
        disabled={!session.actions.includes('delete')}
      />
      {inMenu(session).length > 0 && (
        <ActionIcon
          variant="subtle"
          color="gray"
          aria-label={`More for ${session.session_id}`}
          aria-haspopup="menu"
          onClick={(event) => menu.open(session, event.currentTarget)}
        >
          <IconDots size={17} color="var(--mantine-color-text)" aria-hidden />
        </ActionIcon>
      )}
    </Group>
  );
}
