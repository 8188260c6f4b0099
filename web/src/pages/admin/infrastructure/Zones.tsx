import { Button, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMap2, IconPlus } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { deleteZone } from '../../../api/actions';
import { zonesQuery } from '../../../api/queries';
import type { Zone } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { Confirm } from '../../../components/Confirm';
import { counted } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { RowAction } from '../../../components/RowAction';
import { ZoneForm } from './ZoneForm';

/** Infrastructure → Zones. */
export function Zones() {
  const zones = useQuery(zonesQuery);
  const allowed = useAllowed();
  const [edited, setEdited] = useState<Zone | 'new' | null>(null);
  const create = allowed('zones_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setEdited('new')}>
      Create Zone
    </Button>
  );
  const columns: Column<Zone>[] = [
    {
      key: 'zone',
      title: 'Zone',
      value: (row) => row.zone_name,
      render: (row) => (
        <>
          <Text size="sm" fw={600}>
            {row.zone_name}
          </Text>
          <Text size="xs" c="dimmed" className="nowrap">
            {counted(row.num_managers, 'Manager')}, {counted(row.num_agents, 'Agent')}
          </Text>
        </>
      ),
    },
    { key: 'origin', title: 'Allow Origin Domain', value: (row) => row.allow_origin_domain },
    { key: 'upstream', title: 'Upstream Auth Address', value: (row) => row.upstream_auth_address },
    { key: 'strategy', title: 'Load Balance Strategy', value: (row) => row.load_balancing_strategy },
    { key: 'alternate', title: 'Search Alternate Zones', value: (row) => (row.search_alternate_zones ? 'Yes' : 'No') },
    { key: 'proxy', title: 'Proxy Connections', value: proxyOf },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <Group gap={6} wrap="nowrap" justify="flex-end">
          {allowed('zones_modify') && <RowAction word="Edit" name={row.zone_name} onClick={() => setEdited(row)} />}
          {allowed('zones_delete') && <DeleteZone zone={row} />}
        </Group>
      ),
    },
  ];
  return (
    <>
      <PageHeader title="Zones" actions={create}>
        Each zone has its own Managers and Agents; a session runs in one zone.
      </PageHeader>
      <DataTable
        caption="Zones"
        query={zones}
        columns={columns}
        rowKey={(row) => row.zone_id}
        sort="zone"
        minWidth={920}
        empty={
          <EmptyState icon={IconMap2} title="No zones" action={create}>
            A zone appears with its first Manager.
          </EmptyState>
        }
      />
      {edited && <ZoneForm zone={edited === 'new' ? null : edited} onClose={() => setEdited(null)} />}
    </>
  );
}

/** How browsers reach the streams of a zone. */
function proxyOf({ proxy_connections, proxy_hostname, proxy_port }: Zone): string {
  return proxy_connections ? 'Yes' : `No, at ${proxy_hostname}:${proxy_port}`;
}

function DeleteZone({ zone }: { zone: Zone }) {
  return (
    <Confirm
      title={`Delete zone ${zone.zone_name}?`}
      action="Delete"
      onConfirm={() => deleteZone(zone.zone_id)}
      touched={['zones']}
      trigger={(open) => <RowAction word="Delete" name={zone.zone_name} onClick={open} />}
    >
      A zone can be deleted once it has no Managers, Agents, sessions and staging configs.
    </Confirm>
  );
}
