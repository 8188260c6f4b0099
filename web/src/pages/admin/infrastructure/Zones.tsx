import { useQuery } from '@tanstack/react-query';
import { deleteZone } from '../../../api/actions';
import { zonesQuery } from '../../../api/queries';
import type { Zone } from '../../../api/types';
import { counted } from '../../../components/format';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction } from '../../../components/RowAction';
import { RowName } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { ZoneForm } from './ZoneForm';

const COLUMNS: Column<Zone>[] = [
  {
    key: 'zone',
    title: 'Zone',
    value: (row) => row.zone_name,
    render: (row) => (
      <RowName
        note={
          <span className="nowrap">
            {counted(row.num_managers, 'Manager')}, {counted(row.num_agents, 'Agent')}
          </span>
        }
      >
        {row.zone_name}
      </RowName>
    ),
  },
  { key: 'origin', title: 'Allow Origin Domain', value: (row) => row.allow_origin_domain },
  { key: 'upstream', title: 'Upstream Auth Address', value: (row) => row.upstream_auth_address },
  { key: 'strategy', title: 'Load Balance Strategy', value: strategyOf },
  { key: 'alternate', title: 'Search Alternate Zones', value: (row) => (row.search_alternate_zones ? 'Yes' : 'No') },
  { key: 'proxy', title: 'Proxy Connections', value: proxyOf },
];

/** Fleet → Zones. */
export function Zones() {
  return (
    <ResourcePage
      note="Each zone has its own Managers and Agents. A session runs in one zone."
      query={useQuery(zonesQuery)}
      columns={COLUMNS}
      rowKey={(zone) => zone.zone_id}
      sort="zone"
      minWidth={920}
      empty="No zones"
      emptyNote="A zone is created when its first Manager starts."
      form={(zone, close) => <ZoneForm zone={zone} onClose={close} />}
      editName={(zone) => zone.zone_name}
      remove={({ zone_id, zone_name }) => (
        <RemoveAction noun="zone" name={zone_name} onConfirm={() => deleteZone(zone_id)} touched={['zones']}>
          A zone can be deleted if it has no Managers, Agents, sessions and staging configs.
        </RemoveAction>
      )}
    />
  );
}

/** The strategy with the word of the console for sessions. */
function strategyOf({ load_balancing_strategy: strategy }: Zone): string {
  return strategy.replace('Kasms', 'sessions');
}

/** How browsers reach the streams of a zone. */
function proxyOf({ proxy_connections, proxy_hostname, proxy_port }: Zone): string {
  return proxy_connections ? 'Yes' : `No, at ${proxy_hostname}:${proxy_port}`;
}
