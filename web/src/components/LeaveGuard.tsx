import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { use, useEffect, useState } from 'react';
import { UNSAFE_NavigationContext as NavigationContext } from 'react-router';
import { useIsInPanel } from './address';
import { ConfirmDialog } from './Confirm';
import { guardLeaving } from './leaving';

/** Asks before a page with unsaved changes is left. */
export function LeaveGuard({ when }: { when: boolean }) {
  const { navigator } = use(NavigationContext);
  const isInPanel = useIsInPanel();
  const [leave, setLeave] = useState<(() => void) | null>(null);
  useEffect(() => {
    if (!when) return;
    return guardLeaving(navigator, isInPanel, (go) => setLeave(() => go));
  }, [when, navigator, isInPanel]);
  return (
    <ConfirmDialog
      opened={leave !== null}
      onClose={() => setLeave(null)}
      title={t`Leave without saving?`}
      action={t({ message: 'Leave', context: 'verb' })}
      onConfirm={() => Promise.resolve(leave?.())}
    >
      <Trans>The changes on this page are not saved. They are lost if you leave.</Trans>
    </ConfirmDialog>
  );
}
