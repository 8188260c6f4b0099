import { Box, Button, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconPlus, IconWebhook } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { webhooksQuery } from '../../../api/queries';
import type { Schemas, Webhook } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { TimeAgo } from '../../../components/TimeAgo';
import { DeleteWebhook, TestButton, WebhookSwitch } from './actions';
import { Secret } from './Secret';
import { WebhookForm } from './WebhookForm';

/** Events that are named in a row. */
const SHOWN = 3;

const COLUMNS: Column<Webhook>[] = [
  {
    key: 'name',
    title: 'Name',
    value: (row) => `${row.name} ${row.url}`,
    render: (row) => (
      <Box maw={320}>
        <RowLink
          to={`/admin/webhooks/${row.webhook_id}`}
          note={<span style={{ overflowWrap: 'anywhere' }}>{row.url}</span>}
        >
          {row.name}
        </RowLink>
      </Box>
    ),
  },
  {
    key: 'events',
    title: 'Events',
    value: (row) => row.events.join(', '),
    render: (row) => (
      <Text size="sm">
        {row.events.slice(0, SHOWN).join(', ')}
        {row.events.length > SHOWN && ` and ${row.events.length - SHOWN} more`}
      </Text>
    ),
  },
  {
    key: 'enabled',
    title: 'Enabled',
    value: (row) => (row.enabled ? 'enabled' : 'disabled'),
    render: (row) => <WebhookSwitch webhook={row} inRow />,
  },
  { key: 'waiting', title: 'Waiting', value: (row) => row.waiting, align: 'right' },
  {
    key: 'delivered',
    title: 'Last Delivered',
    value: (row) => row.last_delivered,
    render: (row) => <TimeAgo time={row.last_delivered} none="never" />,
  },
  {
    key: 'actions',
    title: 'Actions',
    hideTitle: true,
    align: 'right',
    render: (row) => (
      <Group gap={6} wrap="nowrap" justify="flex-end">
        <TestButton webhook={row} inRow />
        <DeleteWebhook webhook={row} inRow />
      </Group>
    ),
  },
];

/** System → Webhooks: which servers learn what happens. */
export function Webhooks() {
  const webhooks = useQuery(webhooksQuery);
  const allowed = useAllowed();
  const [creating, setCreating] = useState(false);
  const [made, setMade] = useState<Schemas['WebhookMade'] | null>(null);
  const create = allowed('webhooks_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setCreating(true)}>
      Create Webhook
    </Button>
  );
  return (
    <>
      <PageHeader title="Webhooks" actions={create}>
        Servers of yours that are sent what happens: signed, and tried again for a day where one does not answer.
      </PageHeader>
      <DataTable
        caption="Webhooks"
        query={webhooks}
        columns={COLUMNS}
        rowKey={(row) => row.webhook_id}
        sort="name"
        minWidth={900}
        empty={
          <EmptyState icon={IconWebhook} title="No webhooks yet" action={create}>
            A webhook is an address that is sent a message for each event you choose, such as the end of a lease.
          </EmptyState>
        }
      />
      {creating && <WebhookForm webhook={null} onCreated={setMade} onClose={() => setCreating(false)} />}
      {made && <Secret name={made.name} secret={made.secret} onClose={() => setMade(null)} />}
    </>
  );
}
