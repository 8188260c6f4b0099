import { Button } from '@mantine/core';
import { changeWebhook, deleteWebhook, renewWebhookSecret, tryWebhook } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Webhook } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { showDone, showWarning } from '../../../components/feedback';
import { RowAction } from '../../../components/RowAction';
import { SecretDialog } from '../../../components/SecretDialog';
import { useAction } from '../../../components/useAction';
import { outcomeOf } from './outcomes';

interface Props {
  webhook: Webhook;
  /** In a row of a table, where there is little room. */
  inRow?: boolean;
}

/** The switch of a webhook. The waiting messages of a disabled webhook keep waiting. */
export function WebhookSwitch({ webhook, inRow = false }: Props) {
  const allowed = useAllowed();
  return (
    <EnabledSwitch
      enabled={webhook.enabled}
      name={`webhook ${webhook.name}`}
      list="webhooks"
      labeled={!inRow}
      disabled={!allowed('webhooks_modify')}
      onChange={(enabled) => changeWebhook(webhook.webhook_id, { enabled })}
    />
  );
}

/** Sends a test message immediately and shows its outcome. */
export function TestButton({ webhook, inRow = false }: Props) {
  const test = useAction(() => tryWebhook(webhook.webhook_id), ['webhooks'], `${webhook.name} could not be tested`);
  if (!useAllowed()('webhooks_modify')) return null;
  const run = () =>
    test.mutate(undefined, {
      onSuccess: (delivery) => {
        const said = outcomeOf(delivery, true);
        if (delivery.state === 'delivered') showDone(`A test message was sent to ${webhook.name}. ${said}`);
        else showWarning(`${webhook.name} did not accept the message`, said);
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
      title={`Renew the secret of ${webhook.name}?`}
      action="Renew"
      onConfirm={async () => onRenewed((await renewWebhookSecret(webhook.webhook_id)).secret)}
      touched={['webhooks']}
      trigger="Renew Secret"
    >
      From now on, every message is signed with the new secret. The receiver refuses messages until it has the new
      secret.
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
      No more messages are sent to {webhook.url}, including the waiting ones. The list of its deliveries is deleted.
    </Confirm>
  );
}

/** The secret of a webhook, shown only once. */
export function WebhookSecret({ name, secret, onClose }: { name: string; secret: string; onClose: () => void }) {
  return (
    <SecretDialog title={`Secret of ${name}`} noun="secret" secret={secret} onClose={onClose}>
      Copy the secret to the receiver, which uses it to verify the signature of each message.
    </SecretDialog>
  );
}
