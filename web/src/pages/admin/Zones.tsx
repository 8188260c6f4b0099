import { Button, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMap2 } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../api/auth';
import { zonesQuery } from '../../api/queries';
import type { Zone } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { ZoneForm } from './ZoneForm';

/** Infrastructure → Zones. */
export function Zones() {
  const zones = useQuery(zonesQuery);
  const allowed = useAllowed();
  const [edited, setEdited] = useState<Zone | null>(null);
  const columns: Column<Zone>[] = [
    {
      key: 'zone',
      title: 'Zone',
      value: (row) => row.zone_name,
      render: (row) => (
        <Text size="sm" fw={600}>
          {row.zone_name}
        </Text>
      ),
    },
    { key: 'origin', title: 'Allow Origin Domain', value: (row) => row.allow_origin_domain },
    { key: 'upstream', title: 'Upstream Auth Address', value: (row) => row.upstream_auth_address },
    { key: 'strategy', title: 'Load Balance Strategy', value: (row) => row.load_balancing_strategy },
    { key: 'alternate', title: 'Search Alternate Zones', value: (row) => (row.search_alternate_zones ? 'Yes' : 'No') },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) =>
        allowed('zones_modify') && (
          <Button
            size="compact-sm"
            variant="default"
            aria-label={`Edit ${row.zone_name}`}
            onClick={() => setEdited(row)}
          >
            Edit
          </Button>
        ),
    },
  ];
  return (
    <>
      <PageHeader title="Zones">Each zone has its own Managers and Agents; a session runs in one zone.</PageHeader>
      <DataTable
        caption="Zones"
        query={zones}
        columns={columns}
        rowKey={(row) => row.zone_id}
        sort="zone"
        minWidth={920}
        empty={
          <EmptyState icon={IconMap2} title="No zones">
            A zone appears with its first Manager.
          </EmptyState>
        }
      />
      {edited && <ZoneForm zone={edited} onClose={() => setEdited(null)} />}
    </>
  );
}
