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

/** Fleet → Gateways: web gateways that joined on separate hosts. */
export function Gateways() {
  return (
    <ResourcePage
      note="Web gateways on separate hosts. Each serves the console, the API and the streams at another address."
      query={useQuery(gatewaysQuery)}
      columns={COLUMNS}
      rowKey={(gateway) => gateway.gateway_id}
      sort="zone"
      empty="No gateway has joined"
      emptyNote="The gateway on the host of the API is not listed. “Add Gateway” creates a join token for another gateway."
      buttons={<AddButton role="gateway" />}
      remove={({ gateway_id, hostname }) => (
        <RemoveAction noun="gateway" name={hostname} onConfirm={() => deleteGateway(gateway_id)} touched={['gateways']}>
          The API refuses all further requests of this gateway. The gateway continues to serve the Agents and Managers
          that it knows. It serves no new ones until it joins again.
        </RemoveAction>
      )}
    >
      <JoinTokens role="gateway" />
    </ResourcePage>
  );
}
