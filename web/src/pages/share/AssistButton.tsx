import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
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
    t`The session was not joined`,
  );
  if (!allowed('sessions_assist') || session.status !== 'running' || !session.user_id) return null;
  const { username } = session;
  return (
    <>
      <Button variant="default" leftSection={<IconLifebuoy size={16} aria-hidden />} onClick={open}>
        <Trans>Assist</Trans>
      </Button>
      <Modal opened={opened} onClose={close} title={username ? t`Assist ${username}` : t`Assist the user`}>
        <Stack>
          <SegmentedControl
            aria-label={t`What you do`}
            value={access}
            onChange={(value) => setAccess(value)}
            data={[
              { value: 'view', label: t`Watch` },
              { value: 'control', label: t({ message: 'Control', context: 'verb' }) },
            ]}
          />
          <Text size="sm">
            {silent
              ? t`The user does not see that you are connected. The log records it.`
              : t`The user sees that you are connected and can remove you. The log records it.`}
          </Text>
          {allowed('sessions_assist_silent') && (
            <Checkbox
              label={t`Without a notice to the user`}
              checked={silent}
              onChange={(event) => setSilent(event.currentTarget.checked)}
            />
          )}
          <Group justify="flex-end">
            <Button variant="default" onClick={close}>
              <Trans>Cancel</Trans>
            </Button>
            <Button loading={join.isPending} onClick={() => join.mutate(undefined)}>
              <Trans>Join</Trans>
            </Button>
          </Group>
        </Stack>
      </Modal>
    </>
  );
}
