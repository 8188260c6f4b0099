import { useQuery } from '@tanstack/react-query';
import { deleteGateway } from '../../../api/actions';
import { gatewaysQuery } from '../../../api/queries';
import type { Gateway } from '../../../api/types';
import { timeColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction } from '../../../components/RowAction';
import type { Column } from '../../../components/tableState';
import { ShortId } from '../../../components/ShortId';
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
  timeColumn('registered', 'Registered', (row) => row.registered),
  timeColumn('last', 'Last Reported Time', (row) => row.last_reported, 'never'),
];

/** Infrastructure → Gateways: web gateways that joined on hosts of their own. */
export function Gateways() {
  return (
    <ResourcePage
      note="Web gateways on hosts of their own: console, API and streams at further addresses."
      query={useQuery(gatewaysQuery)}
      columns={COLUMNS}
      rowKey={(gateway) => gateway.gateway_id}
      sort="zone"
      empty="No gateway has joined"
      emptyNote="The one beside the API is not listed. “Add Gateway” makes a join token for another."
      buttons={<AddButton role="gateway" />}
      remove={({ gateway_id, hostname }) => (
        <RemoveAction noun="gateway" name={hostname} onConfirm={() => deleteGateway(gateway_id)} touched={['gateways']}>
          Its credential is refused from its next question on: it learns of no new Agents and Managers, and has to join
          again.
        </RemoveAction>
      )}
    >
      <JoinTokens role="gateway" />
    </ResourcePage>
  );
}
