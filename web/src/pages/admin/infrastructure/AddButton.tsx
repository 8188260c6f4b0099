import { t } from '@lingui/core/macro';
import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useAllowed } from '../../../api/auth';
import type { JoinToken } from '../../../api/types';
import { useCreateParam } from '../../../components/useCreateParam';
import { JoinDialog } from './JoinDialog';

/** Add Agent, Add Gateway: opens the dialog of a join token, for users who may create one. */
export function AddButton({ role }: { role: JoinToken['role'] }) {
  const [opened, { open, close }] = useDisclosure(false);
  const may = useAllowed()('agents_create');
  useCreateParam(may, open);
  if (!may) return null;
  return (
    <>
      <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>
        {role === 'agent' ? t`Add Agent` : t`Add Gateway`}
      </Button>
      {opened && <JoinDialog role={role} onClose={close} />}
    </>
  );
}
