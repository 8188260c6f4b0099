import { List, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCloud } from '@tabler/icons-react';
import { useState } from 'react';
import { changeMachinePool, deleteMachinePool } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { machineOrdersQuery, machinePoolsQuery, machinePreviewQuery } from '../../../api/queries';
import type { MachineOrder, MachinePool } from '../../../api/types';
import { enabledColumn, timeColumn } from '../../../components/columns';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { EmptyState } from '../../../components/feedback';
import { titled } from '../../../components/format';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import type { Column } from '../../../components/tableState';
import { textIn } from '../../../components/tones';
import { MachinePoolForm } from './MachinePoolForm';

const ORDERS: Column<MachineOrder>[] = [
  timeColumn('ordered', 'Ordered', (row) => row.ordered),
  { key: 'pool', title: 'Pool', value: (row) => row.pool_name },
  { key: 'machine', title: 'Machine', value: (row) => row.hostname || (row.ref ?? '') },
  { key: 'reason', title: 'Reason of the order', value: (row) => row.reason },
  {
    key: 'state',
    title: 'State',
    value: (row) => row.state,
    render: (row) => (
      <Stack gap={2}>
        <Text size="sm" {...(row.failed ? { c: textIn('failure') } : {})}>
          {row.state}
        </Text>
        <Text size="xs" c="dimmed">
          {row.state_reason}
        </Text>
      </Stack>
    ),
  },
  { key: 'sessions', title: 'Sessions', value: (row) => row.sessions, align: 'right' },
  timeColumn('changed', 'Since', (row) => row.changed),
];

const POOLS: Column<MachinePool>[] = [
  { key: 'name', title: 'Pool', value: (row) => row.name },
  { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
  { key: 'provider', title: 'Provider', value: (row) => row.provider },
  { key: 'approved', title: 'Approved by', value: (row) => row.approved_by || 'needs approval' },
  { key: 'machines', title: 'Machines', value: countOf },
  { key: 'most', title: 'Maximum', value: (row) => row.max_machines, align: 'right' },
  {
    key: 'error',
    title: 'Last failure',
    value: (row) => row.last_error,
    render: (row) => (
      <Text size="sm" c={textIn('failure')} className="anywhere">
        {row.last_error}
      </Text>
    ),
  },
  enabledColumn((row) => <Enabled pool={row} />),
];

/** Fleet → Machine Pools: machine pools, a preview of their plan, and the machine orders. */
export function Machines() {
  const orders = useQuery(machineOrdersQuery);
  const allowed = useAllowed();
  const [shown, setShown] = useState<string | null>(null);
  return (
    <ResourcePage
      note="Greenroom orders machines when sessions need more capacity. When a machine is no longer needed, Greenroom releases the machine after its last session has ended."
      caption="Machine pools"
      query={useQuery(machinePoolsQuery)}
      columns={POOLS}
      rowKey={(pool) => pool.machine_pool_id}
      sort="name"
      minWidth={1000}
      empty="No machine pool"
      emptyNote="A machine pool orders machines for a zone when sessions need more capacity."
      form={(pool, close) => <MachinePoolForm pool={pool} onClose={close} />}
      editName={(pool) => pool.name}
      may={(verb, pool) => allowed(`machines_${verb}`) && (verb !== 'modify' || pool?.deleted === null)}
      actions={(pool) => (
        <>
          <RowAction word="Preview" name={pool.name} onClick={() => setShown(pool.name)} />
          <Approve pool={pool} />
        </>
      )}
      remove={({ machine_pool_id: id, name }) => (
        <RemoveAction
          noun="machine pool"
          name={name}
          onConfirm={() => deleteMachinePool(id)}
          touched={['machine-pools', 'machine-orders']}
        >
          Each machine is released when its last session has ended. The pool is deleted with its last machine.
        </RemoveAction>
      )}
    >
      {shown !== null && <Preview name={shown} />}
      <Title order={2} fz={18} mt="lg" mb="sm">
        Orders
      </Title>
      <DataTable
        caption="Machine orders"
        name="orders"
        query={orders}
        columns={ORDERS}
        rowKey={(order) => order.machine_order_id}
        sort="-ordered"
        minWidth={1000}
        empty={<EmptyState icon={IconCloud} title="No machine was ordered" />}
      />
    </ResourcePage>
  );
}

function countOf(pool: MachinePool): string {
  const { joined, coming, draining, releasing } = pool;
  const counts = { joined, coming, draining, releasing };
  const words = Object.entries(counts).flatMap(([word, number]) => (number > 0 ? [`${number} ${word}`] : []));
  return words.join(', ') || 'none';
}

/** The words of the pages for an action. */
function verbOf(action: string): string {
  return titled(action === 'take back' ? 'end draining' : action);
}

/** The actions that the plan of a pool would take now. */
function Preview({ name }: { name: string }) {
  const { data } = useQuery(machinePreviewQuery(name));
  return (
    <section aria-label={`Preview of ${name}`}>
      <Title order={2} fz={18} mt="lg" mb="sm">
        Preview of {name}
      </Title>
      {data && (
        <>
          <Text size="sm">{data.sentence}</Text>
          <List size="sm" mt="xs">
            {data.actions.map((action, index) => (
              <List.Item key={index}>
                {verbOf(action.action)} {action.machine ?? 'a machine'}: {action.reason}
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
      consequence="The pool orders no more machines, and its machines are released when their last session has ended."
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
      From now on, machines of this pool are enabled when they join, and sessions of users run on them. Check its
      provider, options and addresses first.
    </Confirm>
  );
}
