import { t } from '@lingui/core/macro';
import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconPlus } from '@tabler/icons-react';
import { useSearchParams } from 'react-router';
import { useAllowed } from '../../../api/auth';
import type { JoinToken } from '../../../api/types';
import { JoinDialog } from './JoinDialog';

/**
 * Add Agent, Add Gateway: opens the dialog of a join token, for users who may create one. The parameter `create` of the
 * address opens it at first.
 */
export function AddButton({ role }: { role: JoinToken['role'] }) {
  const [params] = useSearchParams();
  const [opened, { open, close }] = useDisclosure(params.has('create'));
  if (!useAllowed()('agents_create')) return null;
  return (
    <>
      <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>
        {role === 'agent' ? t`Add Agent` : t`Add Gateway`}
      </Button>
      {opened && <JoinDialog role={role} onClose={close} />}
    </>
  );
}
