import { Button, Group, List, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCloud, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { changeMachinePool, deleteMachinePool } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { machineOrdersQuery, machinePoolsQuery, machinePreviewQuery } from '../../../api/queries';
import type { MachineOrder, MachinePool } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowAction } from '../../../components/RowAction';
import type { Column } from '../../../components/tableState';
import { TimeAgo } from '../../../components/TimeAgo';
import { textIn } from '../../../components/tones';
import { MachinePoolForm } from './MachinePoolForm';

const ORDERS: Column<MachineOrder>[] = [
  { key: 'ordered', title: 'Ordered', value: (row) => row.ordered, render: (row) => <TimeAgo time={row.ordered} /> },
  { key: 'pool', title: 'Pool', value: (row) => row.pool_name },
  { key: 'machine', title: 'Machine', value: (row) => row.hostname || (row.ref ?? '') },
  { key: 'reason', title: 'Why it was ordered', value: (row) => row.reason },
  {
    key: 'state',
    title: 'State',
    value: (row) => row.state,
    render: (row) => (
      <Stack gap={2}>
        <Text size="sm" {...(row.failed ? { c: textIn('red') } : {})}>
          {row.state}
        </Text>
        <Text size="xs" c="dimmed">
          {row.state_reason}
        </Text>
      </Stack>
    ),
  },
  { key: 'sessions', title: 'Sessions', value: (row) => row.sessions, align: 'right' },
  { key: 'changed', title: 'Since', value: (row) => row.changed, render: (row) => <TimeAgo time={row.changed} /> },
];

/** Infrastructure → Machines: pools of machines that come and go, what their plan would do now, and the ledger. */
export function Machines() {
  const pools = useQuery(machinePoolsQuery);
  const orders = useQuery(machineOrdersQuery);
  const allowed = useAllowed();
  const [shown, setShown] = useState<string | null>(null);
  const [edited, setEdited] = useState<MachinePool | 'new' | null>(null);
  const create = allowed('machines_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setEdited('new')}>
      Create Machine Pool
    </Button>
  );
  const columns: Column<MachinePool>[] = [
    { key: 'name', title: 'Pool', value: (row) => row.name },
    { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
    { key: 'provider', title: 'Provider', value: (row) => row.provider },
    { key: 'approved', title: 'Approved by', value: (row) => row.approved_by || 'needs approval' },
    { key: 'machines', title: 'Machines', value: countOf },
    { key: 'most', title: 'At most', value: (row) => row.max_machines, align: 'right' },
    {
      key: 'error',
      title: 'Last failure',
      value: (row) => row.last_error,
      render: (row) => (
        <Text size="sm" c={textIn('red')} style={{ overflowWrap: 'anywhere' }}>
          {row.last_error}
        </Text>
      ),
    },
    { key: 'enabled', title: 'Enabled', value: (row) => String(row.enabled), render: (row) => <Enabled pool={row} /> },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <Group gap={6} wrap="nowrap" justify="flex-end">
          <RowAction word="Preview" name={row.name} onClick={() => setShown(row.name)} />
          <Approve pool={row} />
          {allowed('machines_modify') && row.deleted === null && (
            <RowAction word="Edit" name={row.name} onClick={() => setEdited(row)} />
          )}
          <Remove pool={row} />
        </Group>
      ),
    },
  ];
  return (
    <>
      <PageHeader title="Machines" actions={create}>
        Machines that are ordered when sessions find no room, and given back when they are not needed. No session ends
        for it.
      </PageHeader>
      <DataTable
        caption="Machine pools"
        query={pools}
        columns={columns}
        rowKey={(row) => row.machine_pool_id}
        sort="name"
        minWidth={1000}
        empty={
          <EmptyState icon={IconCloud} title="No machine pool" action={create}>
            It orders machines for a zone when sessions find no room.
          </EmptyState>
        }
      />
      {shown !== null && <Preview name={shown} />}
      <Title order={2} fz={18} mt="lg" mb="sm">
        Orders
      </Title>
      <DataTable
        caption="Orders of machines"
        name="orders"
        query={orders}
        columns={ORDERS}
        rowKey={(row) => row.machine_order_id}
        sort="-ordered"
        minWidth={1000}
        empty={<EmptyState icon={IconCloud} title="No machine was ordered" />}
      />
      {edited && <MachinePoolForm pool={edited === 'new' ? null : edited} onClose={() => setEdited(null)} />}
    </>
  );
}

function countOf(pool: MachinePool): string {
  const { joined, coming, draining, releasing } = pool;
  const counts = { joined, coming, draining, releasing };
  const words = Object.entries(counts).flatMap(([word, number]) => (number > 0 ? [`${number} ${word}`] : []));
  return words.join(', ') || 'none';
}

/** What the plan of a pool would do now. */
function Preview({ name }: { name: string }) {
  const { data } = useQuery(machinePreviewQuery(name));
  return (
    <section aria-label={`What ${name} would do now`}>
      <Title order={2} fz={18} mt="lg" mb="sm">
        What {name} would do now
      </Title>
      {data && (
        <>
          <Text size="sm">{data.sentence}</Text>
          <List size="sm" mt="xs">
            {data.actions.map((action, index) => (
              <List.Item key={index}>
                {action.action} {action.machine ?? 'a machine'}: {action.reason}
              </List.Item>
            ))}
          </List>
        </>
      )}
    </section>
  );
}

function Enabled({ pool }: { pool: MachinePool }) {
  const allowed = useAllowed();
  return (
    <EnabledSwitch
      enabled={pool.enabled}
      name={`machine pool ${pool.name}`}
      list="machine-pools"
      disabled={!allowed('machines_modify') || pool.deleted !== null}
      consequence="It orders nothing any more, and its machines go when their last session has ended."
      onChange={(enabled) => changeMachinePool(pool.machine_pool_id, { enabled })}
    />
  );
}

function Approve({ pool }: { pool: MachinePool }) {
  const allowed = useAllowed();
  const mayApprove = allowed('machines_modify') && allowed('agents_create') && allowed('agents_modify');
  if (!mayApprove || pool.approved_by !== '' || pool.deleted !== null) return null;
  return (
    <Confirm
      title={`Approve machine pool ${pool.name}?`}
      action="Approve"
      onConfirm={() => changeMachinePool(pool.machine_pool_id, { approved: true })}
      touched={['machine-pools']}
      trigger={(open) => <RowAction word="Approve" name={pool.name} onClick={open} />}
    >
      Machines that it orders from now on are enabled as they join, and people’s desktops run there. Check its provider,
      options and addresses first.
    </Confirm>
  );
}

function Remove({ pool }: { pool: MachinePool }) {
  if (!useAllowed()('machines_delete')) return null;
  return (
    <Confirm
      title={`Delete machine pool ${pool.name}?`}
      action="Delete"
      onConfirm={() => deleteMachinePool(pool.machine_pool_id)}
      touched={['machine-pools', 'machine-orders']}
      trigger={(open) => <RowAction word="Delete" name={pool.name} onClick={open} />}
    >
      Its machines go when their last session has ended, and the pool goes with the last of them.
    </Confirm>
  );
}
