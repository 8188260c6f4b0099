import { Button, Checkbox, Group, Modal, SegmentedControl, Stack, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconLifebuoy } from '@tabler/icons-react';
import { useState } from 'react';
import { useNavigate } from 'react-router';
import { useAllowed } from '../../api/auth';
import { type Access, assist, remembered } from '../../api/sharing';
import type { Session } from '../../api/types';
import { useAction } from '../../components/useAction';

/** Joins the session of a user to help, if the administrator may. */
export function AssistButton({ session }: { session: Session }) {
  const allowed = useAllowed();
  const navigate = useNavigate();
  const [opened, { open, close }] = useDisclosure(false);
  const [access, setAccess] = useState<Access>('view');
  const [silent, setSilent] = useState(false);
  const join = useAction(
    async () => {
      const joined = await assist(session.session_id, { access, silent });
      remembered.keep(joined);
      await navigate(`/join/${joined.share_id}`);
    },
    ['sharing'],
    'The session was not joined',
  );
  if (!allowed('sessions_assist') || session.status !== 'running' || !session.user_id) return null;
  return (
    <>
      <Button variant="default" leftSection={<IconLifebuoy size={16} aria-hidden />} onClick={open}>
        Assist
      </Button>
      <Modal opened={opened} onClose={close} title={`Assist ${session.username ?? 'the user'}`}>
        <Stack>
          <SegmentedControl
            aria-label="What you do"
            value={access}
            onChange={(value) => setAccess(value)}
            data={[
              { value: 'view', label: 'Watch' },
              { value: 'control', label: 'Control' },
            ]}
          />
          <Text size="sm">
            {silent
              ? 'The user does not see that you are connected. The log records it.'
              : 'The user sees that you are connected and can remove you. The log records it.'}
          </Text>
          {allowed('sessions_assist_silent') && (
            <Checkbox
              label="Without a notice to the user"
              checked={silent}
              onChange={(event) => setSilent(event.currentTarget.checked)}
            />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              Cancel
            </Button>
            <Button loading={join.isPending} onClick={() => join.mutate(undefined)}>
              Join
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
