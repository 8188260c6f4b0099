import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { List, Stack, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCloud } from '@tabler/icons-react';
import { useState } from 'react';
import { changeMachinePool, deleteMachinePool } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { machineOrdersQuery, machinePoolsQuery, machinePreviewQuery } from '../../../api/queries';
import type { MachineOrder, MachinePool, Schemas } from '../../../api/types';
import { enabledColumn, timeColumn } from '../../../components/columns';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { EmptyState } from '../../../components/feedback';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { textIn } from '../../../components/tones';
import { MachinePoolForm } from './MachinePoolForm';

/** The words of the console for the states of an order. */
const STATES: Record<string, string> = {
  ordered: t({ message: 'ordered', context: 'state of a machine' }),
  created: t({ message: 'created', context: 'state of a machine' }),
  joined: t({ message: 'joined', context: 'state of a machine' }),
  draining: t({ message: 'draining', context: 'state of a machine' }),
  releasing: t({ message: 'releasing', context: 'state of a machine' }),
  ended: t({ message: 'ended', context: 'state of a machine' }),
};

const ORDERS: Column<MachineOrder>[] = [
  timeColumn('ordered', t`Ordered`, (row) => row.ordered),
  { key: 'pool', title: t`Pool`, value: (row) => row.pool_name },
  { key: 'machine', title: t`Machine`, value: (row) => row.hostname || (row.ref ?? '') },
  { key: 'reason', title: t`Reason for the order`, value: (row) => row.reason },
  {
    key: 'state',
    title: t`State`,
    value: (row) => row.state,
    render: (row) => (
      <Stack gap={2}>
        <Text size="sm" {...(row.failed ? { c: textIn('failure') } : {})}>
          {STATES[row.state] ?? row.state}
        </Text>
        <Text size="xs" c="dimmed">
          {row.state_reason}
        </Text>
      </Stack>
    ),
  },
  { key: 'sessions', title: t`Sessions`, value: (row) => row.sessions, align: 'right' },
  timeColumn('changed', t`Since`, (row) => row.changed),
];

const POOLS: Column<MachinePool>[] = [
  {
    key: 'name',
    title: t`Pool`,
    value: (row) => row.name,
    render: (row) => <RowPanelLink row={row.machine_pool_id}>{row.name}</RowPanelLink>,
  },
  { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
  { key: 'provider', title: t`Provider`, value: (row) => row.provider },
  { key: 'approved', title: t`Approved by`, value: (row) => row.approved_by || t`needs approval` },
  { key: 'machines', title: t`Machines`, value: countOf },
  { key: 'most', title: t`Maximum`, value: (row) => row.max_machines, align: 'right' },
  {
    key: 'error',
    title: t`Last failure`,
    value: (row) => row.last_error,
    render: (row) => (
      <Text size="sm" c={textIn('failure')} className="anywhere">
        {row.last_error}
      </Text>
    ),
  },
  enabledColumn((row) => <Enabled pool={row} />),
];

/** Infrastructure → Machine Pools: machine pools, a preview of their plan, and the machine orders. */
export function Machines() {
  const orders = useQuery(machineOrdersQuery);
  const allowed = useAllowed();
  const [shown, setShown] = useState<string | null>(null);
  return (
    <ResourcePage
      note={t`Greenroom orders machines when sessions need more capacity. When a machine is no longer needed, Greenroom releases the machine after its last session has ended.`}
      caption={t`Machine pools`}
      query={useQuery(machinePoolsQuery)}
      columns={POOLS}
      list="machine-pools"
      rowKey={(pool) => pool.machine_pool_id}
      panelTitle={({ name }) => name}
      sort="name"
      minWidth={1000}
      empty={t`No machine pool`}
      emptyNote={t`A machine pool orders machines for a zone when sessions need more capacity.`}
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
          noun={t`machine pool`}
          name={name}
          onConfirm={() => deleteMachinePool(id)}
          touched={['machine-pools', 'machine-orders']}
        >
          <Trans>
            Each machine is released when its last session has ended. The pool is deleted with its last machine.
          </Trans>
        </RemoveAction>
      )}
    >
      {shown !== null && <Preview name={shown} />}
      <Title order={2} fz={18} mt="lg" mb="sm">
        <Trans>Orders</Trans>
      </Title>
      <DataTable
        caption={t`Machine orders`}
        list="machine-orders"
        name="orders"
        query={orders}
        columns={ORDERS}
        rowKey={(order) => order.machine_order_id}
        sort="-ordered"
        minWidth={1000}
        empty={<EmptyState icon={IconCloud} title={t`No machine was ordered`} />}
      />
    </ResourcePage>
  );
}

function countOf(pool: MachinePool): string {
  const { joined, coming, draining, releasing } = pool;
  const words = [
    joined > 0 && t`${joined} joined`,
    coming > 0 && t`${coming} coming`,
    draining > 0 && t`${draining} draining`,
    releasing > 0 && t`${releasing} releasing`,
  ].filter(Boolean);
  return words.join(', ') || t`none`;
}

/** An action of the plan, in the words of the pages. */
function sentenceOf({ action, machine, reason }: Schemas['PlannedAction']): string {
  if (machine === null) return t`Order a machine: ${reason}`;
  if (action === 'order') return t`Order ${machine}: ${reason}`;
  if (action === 'take back') return t`End draining ${machine}: ${reason}`;
  return action === 'drain' ? t`Drain ${machine}: ${reason}` : t`Release ${machine}: ${reason}`;
}

/** The actions that the plan of a pool would take now. */
function Preview({ name }: { name: string }) {
  const { data } = useQuery(machinePreviewQuery(name));
  return (
    <section aria-label={t`Preview of ${name}`}>
      <Title order={2} fz={18} mt="lg" mb="sm">
        <Trans>Preview of {name}</Trans>
      </Title>
      {data && (
        <>
          <Text size="sm">{data.sentence}</Text>
          <List size="sm" mt="xs">
            {data.actions.map((action, index) => (
              <List.Item key={index}>{sentenceOf(action)}</List.Item>
            ))}
          </List>
        </>
      )}
    </section>
  );
}

function Enabled({ pool }: { pool: MachinePool }) {
  const allowed = useAllowed();
  const { name } = pool;
  return (
    <EnabledSwitch
      enabled={pool.enabled}
      name={t`machine pool ${name}`}
      list="machine-pools"
      disabled={!allowed('machines_modify') || pool.deleted !== null}
      consequence={t`The pool orders no more machines, and its machines are released when their last session has ended.`}
      onChange={(enabled) => changeMachinePool(pool.machine_pool_id, { enabled })}
    />
  );
}

function Approve({ pool }: { pool: MachinePool }) {
  const allowed = useAllowed();
  const mayApprove = allowed('machines_modify') && allowed('agents_create') && allowed('agents_modify');
  if (!mayApprove || pool.approved_by !== '' || pool.deleted !== null) return null;
  const { name } = pool;
  return (
    <Confirm
      title={t`Approve machine pool ${name}?`}
      action={t`Approve`}
      onConfirm={() => changeMachinePool(pool.machine_pool_id, { approved: true })}
      touched={['machine-pools']}
      trigger={(open) => <RowAction word="Approve" name={pool.name} onClick={open} />}
    >
      <Trans>
        From now on, machines of this pool are enabled when they join, and sessions of users run on them. Check its
        provider, options and addresses first.
      </Trans>
    </Confirm>
  );
}
