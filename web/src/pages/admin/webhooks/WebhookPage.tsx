import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Card, Code } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { webhookQuery } from '../../../api/queries';
import type { Webhook } from '../../../api/types';
import { useItem } from '../../../components/address';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { absolute, TimeAgo } from '../../../components/TimeAgo';
import { DeleteWebhook, RenewSecret, TestButton, WebhookSecret, WebhookSwitch } from './actions';
import { Deliveries } from './Deliveries';
import { eventTitle } from './outcomes';
import { WebhookForm } from './WebhookForm';

const LIST = '/admin/webhooks';

/** One webhook: its deliveries and its details. */
export function WebhookPage() {
  const { webhookId = '' } = useItem();
  const webhook = useQuery(webhookQuery(webhookId));
  const allowed = useAllowed();
  const [editing, setEditing] = useState(false);
  const [secret, setSecret] = useState<string | null>(null);
  const tabs = (data: Webhook): Tab[] => [
    { key: 'deliveries', title: t`Deliveries`, content: <Deliveries webhook={data} /> },
    { key: 'details', title: t`Details`, content: <Details webhook={data} /> },
  ];
  return (
    <>
      <DetailsPage
        list={{ to: LIST, title: t`Webhooks` }}
        query={webhook}
        title={({ name }) => name}
        note={({ url }) => <span className="anywhere">{url}</span>}
        actions={(data) => (
          <>
            <WebhookSwitch webhook={data} />
            <TestButton webhook={data} />
            {allowed('webhooks_modify') && (
              <Button variant="default" onClick={() => setEditing(true)}>
                <Trans>Edit</Trans>
              </Button>
            )}
            <RenewSecret webhook={data} onRenewed={setSecret} />
            <DeleteWebhook webhook={data} to={LIST} />
          </>
        )}
        tabs={tabs}
      />
      {editing && webhook.data && <WebhookForm webhook={webhook.data} onClose={() => setEditing(false)} />}
      {secret !== null && webhook.data && (
        <WebhookSecret name={webhook.data.name} secret={secret} onClose={() => setSecret(null)} />
      )}
    </>
  );
}

function Details({ webhook }: { webhook: Webhook }) {
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Facts
        facts={[
          [t`Address`, <Code key="url">{webhook.url}</Code>],
          [t`Events`, webhook.events.map(eventTitle).join(', ')],
          [t`Waiting messages`, webhook.waiting],
          [t`Last delivered`, <TimeAgo key="last" time={webhook.last_delivered} none={t`never`} />],
          [t`Created`, absolute(webhook.created)],
          [t`ID`, webhook.webhook_id],
        ]}
      />
    </Card>
  );
}
