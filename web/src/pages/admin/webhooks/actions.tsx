import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
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
import { lossOf } from './bulkWebhooks';
import { outcomeOf } from './outcomes';

interface Props {
  webhook: Webhook;
  /** In a row of a table, where there is little room. */
  inRow?: boolean;
}

/** The switch of a webhook. The waiting messages of a disabled webhook keep waiting. */
export function WebhookSwitch({ webhook, inRow = false }: Props) {
  const { name } = webhook;
  const allowed = useAllowed();
  return (
    <EnabledSwitch
      enabled={webhook.enabled}
      name={t`webhook ${name}`}
      list="webhooks"
      labeled={!inRow}
      disabled={!allowed('webhooks_modify')}
      onChange={(enabled) => changeWebhook(webhook.webhook_id, { enabled })}
    />
  );
}

/** Sends a test message immediately and shows its outcome. */
export function TestButton({ webhook, inRow = false }: Props) {
  const { name } = webhook;
  const test = useAction(() => tryWebhook(webhook.webhook_id), ['webhooks'], t`${name} could not be tested`);
  if (!useAllowed()('webhooks_modify')) return null;
  const run = () =>
    test.mutate(undefined, {
      onSuccess: (delivery) => {
        const outcome = outcomeOf(delivery, true);
        if (delivery.state === 'delivered') showDone(t`A test message was sent to ${name}. ${outcome}`);
        else showWarning(t`${name} did not accept the message`, outcome);
      },
    });
  return inRow ? (
    <RowAction word="Test" name={name} onClick={run} />
  ) : (
    <Button variant="default" loading={test.isPending} onClick={run}>
      <Trans>Send Test</Trans>
    </Button>
  );
}

export function RenewSecret({ webhook, onRenewed }: Props & { onRenewed: (secret: string) => void }) {
  const { name } = webhook;
  if (!useAllowed()('webhooks_modify')) return null;
  return (
    <Confirm
      title={t`Renew the secret of ${name}?`}
      action={t`Renew`}
      onConfirm={async () => onRenewed((await renewWebhookSecret(webhook.webhook_id)).secret)}
      touched={['webhooks']}
      trigger={t`Renew Secret`}
    >
      <Trans>
        From now on, every message is signed with the new secret. The receiver refuses messages until it has the new
        secret.
      </Trans>
    </Confirm>
  );
}

export function DeleteWebhook({ webhook, to }: Props & { to?: string }) {
  const { name } = webhook;
  if (!useAllowed()('webhooks_delete')) return null;
  return (
    <Confirm
      title={t`Delete webhook ${name}?`}
      action={t`Delete`}
      onConfirm={() => deleteWebhook(webhook.webhook_id)}
      to={to}
      touched={['webhooks']}
      trigger={to ? t`Delete` : (open) => <RowAction word="Delete" name={name} onClick={open} />}
    >
      {lossOf(webhook)}
    </Confirm>
  );
}

/** The secret of a webhook, shown only once. */
export function WebhookSecret({ name, secret, onClose }: { name: string; secret: string; onClose: () => void }) {
  return (
    <SecretDialog title={t`Secret of ${name}`} noun="secret" secret={secret} onClose={onClose}>
      <Trans>Copy the secret to the receiver, which uses it to verify the signature of each message.</Trans>
    </SecretDialog>
  );
}
