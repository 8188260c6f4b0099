import { t } from '@lingui/core/macro';
import { IconTrash } from '@tabler/icons-react';
import { useMemo } from 'react';
import { changeWebhook, deleteWebhook } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Webhook } from '../../../api/types';
import type { Bulk, BulkAction } from '../../../components/bulk';
import { switches } from '../../../components/bulkSwitch';

/** The actions for several webhooks, as far as the user may change or delete them; undefined = none. */
export function useBulkWebhooks(): Bulk<Webhook> | undefined {
  const allowed = useAllowed();
  const mayModify = allowed('webhooks_modify');
  const mayDelete = allowed('webhooks_delete');
  return useMemo(() => {
    const actions = [...(mayModify ? SWITCHES : []), ...(mayDelete ? [DELETION] : [])];
    return actions.length === 0
      ? undefined
      : { noun: 'webhook', nameOf: ({ name }) => name, touched: ['webhooks'], actions };
  }, [mayModify, mayDelete]);
}

const SWITCHES: BulkAction<Webhook>[] = switches<Webhook>({
  effects: {
    enable: t`Messages are sent to it again, first the waiting ones.`,
    disable: t`No messages are sent to it until it is enabled again. The waiting ones keep waiting.`,
  },
  run: ({ webhook_id: id }, enabled) => changeWebhook(id, { enabled }),
});

const DELETION: BulkAction<Webhook> = {
  label: t`Delete`,
  icon: IconTrash,
  effect: lossOf,
  refusal: () => null,
  run: ({ webhook_id: id }) => deleteWebhook(id),
  isDangerous: true,
};

/** The consequence of the deletion of a webhook. */
export function lossOf({ url }: Webhook): string {
  return t`No more messages are sent to ${url}, including the waiting ones. The list of its deliveries is deleted.`;
}
