import { t } from '@lingui/core/macro';
import { Box } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { webhooksQuery } from '../../../api/queries';
import type { Schemas, Webhook } from '../../../api/types';
import { enabledColumn, timeColumn } from '../../../components/columns';
import { FirstOf } from '../../../components/FirstOf';
import { ResourcePage } from '../../../components/ResourcePage';
import { RowLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { DeleteWebhook, TestButton, WebhookSecret, WebhookSwitch } from './actions';
import { useBulkWebhooks } from './bulkWebhooks';
import { eventTitle } from './outcomes';
import { WebhookForm } from './WebhookForm';

/** The number of events in a row. */
const SHOWN = 3;

const COLUMNS: Column<Webhook>[] = [
  {
    key: 'name',
    title: t`Name`,
    value: (row) => `${row.name} ${row.url}`,
    render: (row) => (
      <Box maw={320}>
        <RowLink to={`/admin/webhooks/${row.webhook_id}`} note={<span className="anywhere">{row.url}</span>}>
          {row.name}
        </RowLink>
      </Box>
    ),
  },
  {
    key: 'events',
    title: t`Events`,
    value: (row) => row.events.map((event) => `${eventTitle(event)} ${event}`).join(', '),
    text: (row) => row.events.join(', '),
    render: (row) => <FirstOf words={row.events.map(eventTitle)} shown={SHOWN} />,
  },
  enabledColumn((row) => <WebhookSwitch webhook={row} inRow />),
  { key: 'waiting', title: t`Waiting`, rank: 'main', value: (row) => row.waiting, align: 'right' },
  timeColumn('delivered', t`Last Delivered`, (row) => row.last_delivered, t`never`),
];

/** Infrastructure → Webhooks: the servers that receive events. */
export function Webhooks() {
  const [made, setMade] = useState<Schemas['WebhookMade'] | null>(null);
  return (
    <ResourcePage
      list="webhooks"
      note={t`Greenroom sends signed messages about events to your servers, and repeats a failed message for about one day.`}
      query={useQuery(webhooksQuery)}
      columns={COLUMNS}
      rowKey={(webhook) => webhook.webhook_id}
      sort="name"
      minWidth={900}
      bulk={useBulkWebhooks()}
      empty={t`No webhooks yet`}
      emptyNote={t`A webhook is an address that receives a message for each event that you choose, such as the end of a lease.`}
      form={(webhook, close) => <WebhookForm webhook={webhook} onCreated={setMade} onClose={close} />}
      actions={(webhook) => <TestButton webhook={webhook} inRow />}
      remove={(webhook) => <DeleteWebhook webhook={webhook} />}
    >
      {made && <WebhookSecret name={made.name} secret={made.secret} onClose={() => setMade(null)} />}
    </ResourcePage>
  );
}
