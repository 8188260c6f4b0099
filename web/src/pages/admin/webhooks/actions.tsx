import { Button } from '@mantine/core';
import { changeWebhook, deleteWebhook, renewWebhookSecret, tryWebhook } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Webhook } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { showDone, showWarning } from '../../../components/feedback';
import { RowAction } from '../../../components/RowAction';
import { useAction } from '../../../components/useAction';
import { outcomeOf } from './outcomes';

interface Props {
  webhook: Webhook;
  /** In a row of a table, where there is little room. */
  inRow?: boolean;
}

/** What waits when it is disabled waits on. */
export function WebhookSwitch({ webhook, inRow = false }: Props) {
  const allowed = useAllowed();
  return (
    <EnabledSwitch
      enabled={webhook.enabled}
      name={`webhook ${webhook.name}`}
      list="webhooks"
      labelled={!inRow}
      disabled={!allowed('webhooks_modify')}
      onChange={(enabled) => changeWebhook(webhook.webhook_id, { enabled })}
    />
  );
}

/** Sends a message now, and says what came of it. */
export function TestButton({ webhook, inRow = false }: Props) {
  const test = useAction(() => tryWebhook(webhook.webhook_id), ['webhooks'], `${webhook.name} could not be tried`);
  if (!useAllowed()('webhooks_modify')) return null;
  const run = () =>
    test.mutate(undefined, {
      onSuccess: (delivery) => {
        const said = outcomeOf(delivery, true);
        if (delivery.state === 'delivered') showDone(`${webhook.name} was sent a message. ${said}`);
        else showWarning(`${webhook.name} did not take the message`, said);
      },
    });
  return inRow ? (
    <RowAction word="Test" name={webhook.name} onClick={run} />
  ) : (
    <Button variant="default" loading={test.isPending} onClick={run}>
      Send Test
    </Button>
  );
}

export function RenewSecret({ webhook, onRenewed }: Props & { onRenewed: (secret: string) => void }) {
  if (!useAllowed()('webhooks_modify')) return null;
  return (
    <Confirm
      title={`Make another secret for ${webhook.name}?`}
      action="Make Another"
      onConfirm={async () => onRenewed((await renewWebhookSecret(webhook.webhook_id)).secret)}
      touched={['webhooks']}
      trigger="Renew Secret"
    >
      Every message is signed with the new one from now on: the receiver refuses them until it knows it.
    </Confirm>
  );
}

export function DeleteWebhook({ webhook, to }: Props & { to?: string }) {
  if (!useAllowed()('webhooks_delete')) return null;
  return (
    <Confirm
      title={`Delete webhook ${webhook.name}?`}
      action="Delete"
      onConfirm={() => deleteWebhook(webhook.webhook_id)}
      to={to}
      touched={['webhooks']}
      trigger={to ? 'Delete' : (open) => <RowAction word="Delete" name={webhook.name} onClick={open} />}
    >
      Nothing is sent to {webhook.url} any more, not even what waits, and the list of what it was sent is gone.
    </Confirm>
  );
}
