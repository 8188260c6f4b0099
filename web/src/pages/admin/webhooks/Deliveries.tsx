import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Code, Group, SegmentedControl, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconSend } from '@tabler/icons-react';
import { useMemo, useState } from 'react';
import { replayDelivery, replayWebhook } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { deliveriesQuery } from '../../../api/queries';
import type { Webhook, WebhookDelivery } from '../../../api/types';
import { useAddress } from '../../../components/address';
import { useClock } from '../../../components/clock';
import { Confirm } from '../../../components/Confirm';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import { Facts } from '../../../components/Facts';
import { EmptyState, showDone } from '../../../components/feedback';
import { OlderRows } from '../../../components/OlderRows';
import { RowAction } from '../../../components/RowAction';
import { StatusBadge } from '../../../components/StatusBadge';
import type { Column } from '../../../components/tableState';
import { absolute, TimeAgo } from '../../../components/TimeAgo';
import { useAction } from '../../../components/useAction';
import { eventTitle, outcomeOf, STATES } from './outcomes';
import { SideSheet } from '../../../components/Dialog';

/** The number of rows of a page. Older rows are loaded on request. */
const ROWS = 250;

const CHOICES = [
  { value: 'all', label: t`All` },
  { value: 'waiting', label: t`Waiting` },
  { value: 'delivered', label: t`Delivered` },
  { value: 'given_up', label: t`Given up` },
];

/** The deliveries of a webhook, newest first, with the filter of the address and the buttons that replay messages. */
export function Deliveries({ webhook }: { webhook: Webhook }) {
  const address = useAddress();
  const [shown, setShown] = useState<WebhookDelivery | null>(null);
  // Another filter starts with the newest rows.
  const change = (name: string, value: string | null) => address.set({ cursor: '', [name]: value ?? '' });
  const state = (Object.keys(STATES) as WebhookDelivery['state'][]).find((each) => each === address.get('state'));
  const cursor = address.get('cursor');
  const question = { limit: ROWS, ...(state ? { state } : {}), ...(cursor ? { cursor } : {}) };
  const found = useQuery({
    ...deliveriesQuery(webhook.webhook_id, question),
    placeholderData: (before) => before,
  });
  const { webhook_id, enabled } = webhook;
  const columns = useMemo(() => columnsOf(webhook_id, enabled, setShown), [webhook_id, enabled]);
  return (
    <Stack gap="sm">
      <DataTable
        list="deliveries"
        caption={t`Deliveries`}
        query={{ data: found.data?.rows, error: found.error }}
        columns={columns}
        rowKey={(row) => row.delivery_id}
        sort="-at"
        isPart
        minWidth={900}
        tools={
          <Group gap="xs">
            <SegmentedControl
              size="xs"
              aria-label={t`State`}
              data={CHOICES}
              value={state ?? 'all'}
              onChange={(value) => change('state', value === 'all' ? null : value)}
            />
            <ReplayAll webhook={webhook} />
          </Group>
        }
        empty={
          <EmptyState icon={IconSend} title={state ? t`No matching messages` : t`No messages yet`}>
            <Trans>Messages of the last 7 days appear here with their outcome.</Trans>
          </EmptyState>
        }
      />
      <OlderRows next={found.data?.next} onShow={(next) => change('cursor', next)} />
      {shown && <Message delivery={shown} enabled={webhook.enabled} onClose={() => setShown(null)} />}
    </Stack>
  );
}

function columnsOf(
  webhookId: string,
  enabled: boolean,
  onShow: (delivery: WebhookDelivery) => void,
): Column<WebhookDelivery>[] {
  return [
    timeColumn('at', t`Time`, (row) => row.at),
    {
      key: 'event',
      title: t`Event`,
      rank: 'main',
      value: (row) => `${eventTitle(row.event)} ${row.event}`,
      text: (row) => row.event,
      render: (row) => (
        <span className="nowrap" data-hint={row.event}>
          {eventTitle(row.event)}
        </span>
      ),
    },
    {
      key: 'state',
      title: t`State`,
      value: (row) => STATES[row.state],
      render: (row) => <StatusBadge status={STATES[row.state]} />,
    },
    {
      key: 'outcome',
      title: t`Outcome`,
      value: (row) => outcomeOf(row, enabled),
      unordered: true,
      render: (row) => (
        <Stack gap={0}>
          <Text size="sm" className="anywhere">
            {outcomeOf(row, enabled)}
          </Text>
          {row.due && enabled && row.attempts > 0 && <NextAttempt due={row.due} />}
        </Stack>
      ),
    },
    actionsColumn((row) => (
      <>
        <RowAction word="Show" name={`${row.event} ${row.delivery_id}`} onClick={() => onShow(row)} />
        {row.state !== 'waiting' && enabled && <Replay webhookId={webhookId} delivery={row} />}
      </>
    )),
  ];
}

function NextAttempt({ due }: { due: string }) {
  const isDue = useClock((now) => Number(Date.parse(due) - now < 1500)) > 0;
  return (
    <Text size="xs" c="dimmed" component="div">
      {isDue ? (
        <Trans>Next attempt now</Trans>
      ) : (
        <Trans>
          Next attempt <TimeAgo time={due} />
        </Trans>
      )}
    </Text>
  );
}

function Replay({ webhookId, delivery }: { webhookId: string; delivery: WebhookDelivery }) {
  const { event, delivery_id } = delivery;
  const replay = useAction(() => replayDelivery(webhookId, delivery_id), ['webhooks'], t`${event} was not sent again`);
  if (!useAllowed()('webhooks_modify')) return null;
  return <RowAction word="Replay" name={`${event} ${delivery_id}`} onClick={() => replay.mutate(undefined)} />;
}

function ReplayAll({ webhook }: { webhook: Webhook }) {
  const given = useQuery(deliveriesQuery(webhook.webhook_id, { state: 'given_up', limit: 1 }));
  if (!useAllowed()('webhooks_modify') || !webhook.enabled || !given.data?.rows.length) return null;
  return (
    <Confirm
      title={t`Replay all messages that were given up?`}
      action={t`Replay All`}
      color="blue"
      onConfirm={async () => {
        const { replayed } = await replayWebhook(webhook.webhook_id);
        showDone(plural(replayed, { one: '# message will be sent again.', other: '# messages will be sent again.' }));
      }}
      touched={['webhooks']}
      trigger={(open) => (
        <Button size="xs" variant="default" onClick={open}>
          <Trans>Replay Given-Up Messages</Trans>
        </Button>
      )}
    >
      <Trans>
        Each message keeps its id, so a receiver that stores the ids processes no message twice. Test messages are not
        sent again.
      </Trans>
    </Confirm>
  );
}

interface MessageProps {
  delivery: WebhookDelivery;
  enabled: boolean;
  onClose: () => void;
}

/** The details of one message, with its data and the start of the answer. */
function Message({ delivery, enabled, onClose }: MessageProps) {
  return (
    <SideSheet
      title={eventTitle(delivery.event)}
      onClose={onClose}

      size="lg"
    >
      <Stack>
        <Text size="sm" fw={600}>
          {outcomeOf(delivery, enabled)}
        </Text>
        <Facts
          facts={[
            [t`Event`, <Code key="event">{delivery.event}</Code>],
            [t`Time`, absolute(delivery.at)],
            [t`State`, <StatusBadge key="state" status={STATES[delivery.state]} />],
            [t`Attempts`, delivery.attempts],
            [t`Last attempt`, delivery.attempted && absolute(delivery.attempted)],
            [t`Next attempt`, delivery.due && absolute(delivery.due)],
            [t`Message ID (header webhook-id)`, delivery.delivery_id],
          ]}
        />
        <Block title={t`Data`} text={JSON.stringify(delivery.data, null, 2)} />
        {delivery.answer && <Block title={t`Beginning of the response`} text={delivery.answer} />}
      </Stack>
    </SideSheet>
  );
}

function Block({ title, text }: { title: string; text: string }) {
  return (
    <section>
      <Title order={2} fz={14} mb="xs">
        {title}
      </Title>
      <Code block className="anywhere wrapped">
        {text}
      </Code>
    </section>
  );
}
