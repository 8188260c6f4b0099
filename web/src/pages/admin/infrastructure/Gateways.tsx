import { useQuery } from '@tanstack/react-query';
import { IconTrash, IconWorldShare } from '@tabler/icons-react';
import { deleteGateway } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { gatewaysQuery } from '../../../api/queries';
import type { Gateway } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowButton } from '../../../components/RowButton';
import { ShortId } from '../../../components/ShortId';
import { TimeAgo } from '../../../components/TimeAgo';
import { AddButton } from './AddButton';
import { JoinTokens } from './JoinTokens';

const COLUMNS: Column<Gateway>[] = [
  { key: 'gateway', title: 'Gateway', value: (row) => row.hostname },
  {
    key: 'id',
    title: 'Gateway ID',
    value: (row) => row.gateway_id,
    render: (row) => <ShortId id={row.gateway_id} />,
  },
  { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
  {
    key: 'registered',
    title: 'Registered',
    value: (row) => row.registered,
    render: (row) => <TimeAgo time={row.registered} />,
  },
  {
    key: 'last',
    title: 'Last Reported Time',
    value: (row) => row.last_reported,
    render: (row) => <TimeAgo time={row.last_reported} none="never" />,
  },
  { key: 'actions', title: 'Actions', hideTitle: true, align: 'right', render: (row) => <Remove gateway={row} /> },
];

/** Infrastructure → Gateways: web gateways that joined on hosts of their own. */
export function Gateways() {
  const gateways = useQuery(gatewaysQuery);
  return (
    <>
      <PageHeader title="Gateways" actions={<AddButton role="gateway" />}>
        Web gateways on hosts of their own: console, API and streams at further addresses.
      </PageHeader>
      <DataTable
        caption="Gateways"
        query={gateways}
        columns={COLUMNS}
        rowKey={(row) => row.gateway_id}
        sort="zone"
        empty={
          <EmptyState icon={IconWorldShare} title="No gateway has joined">
            The one beside the API is not listed. “Add Gateway” makes a join token for another.
          </EmptyState>
        }
      />
      <JoinTokens role="gateway" />
    </>
  );
}

function Remove({ gateway }: { gateway: Gateway }) {
  if (!useAllowed()('agents_delete')) return null;
  return (
    <Confirm
      title={`Delete gateway ${gateway.hostname}?`}
      action="Delete"
      onConfirm={() => deleteGateway(gateway.gateway_id)}
      touched={['gateways']}
      trigger={(open) => <RowButton label={`Delete ${gateway.hostname}`} icon={IconTrash} onClick={open} />}
    >
      Its credential is refused from its next question on: it learns of no new Agents and Managers, and has to join
      again.
    </Confirm>
  );
}
