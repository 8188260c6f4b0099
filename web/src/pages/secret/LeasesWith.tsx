import { Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconRobot } from '@tabler/icons-react';
import { leasesWithQuery, type Secret } from '../../api/secrets';
import type { Schemas } from '../../api/types';
import { timeColumn } from '../../components/columns';
import { DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { RowLink } from '../../components/RowLink';
import type { Column } from '../../components/tableState';
import { Dialog } from '../../components/Dialog';

const COLUMNS: Column<Schemas['LeaseView']>[] = [
  {
    key: 'workspace',
    title: 'Workspace',
    value: (row) => row.image_friendly_name,
    render: (row) => <RowLink to={`/watch/${row.lease_id}`}>{row.image_friendly_name || 'a workspace'}</RowLink>,
  },
  { key: 'user', title: 'User', value: (row) => row.username },
  { key: 'holder', title: 'Lease requested by', value: (row) => row.holder },
  timeColumn('expires', 'Ends', (row) => row.expires),
];

/** The leases that use a secret now. */
export function LeasesWith({ secret, onClose }: { secret: Secret; onClose: () => void }) {
  const leases = useQuery(leasesWithQuery(secret.name));
  const others = leases.data ? secret.num_leases - leases.data.length : 0;
  return (
    <Dialog title={<>Leases with {secret.name}</>} onClose={onClose} size="xl">
      <Stack>
        <DataTable
          caption={`Leases with ${secret.name}`}
          list="leases-with-secret"
          name="leases"
          query={leases}
          columns={COLUMNS}
          rowKey={(row) => row.lease_id}
          minWidth={480}
          empty={
            <EmptyState icon={IconRobot} title="No lease with this secret is visible to you">
              A lease is visible to the user of its session and to administrators.
            </EmptyState>
          }
        />
        {others > 0 && (
          <Text size="sm" className="dimmed">
            {others === 1 ? '1 more lease is' : `${others} more leases are`} not visible to you.
          </Text>
        )}
      </Stack>
    </Dialog>
  );
}
