import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
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
    title: t`Workspace`,
    value: (row) => row.image_friendly_name,
    render: (row) => <RowLink to={`/watch/${row.lease_id}`}>{row.image_friendly_name || t`a workspace`}</RowLink>,
  },
  { key: 'user', title: t`User`, value: (row) => row.username },
  { key: 'holder', title: t`Lease requested by`, value: (row) => row.holder },
  timeColumn('expires', t`Ends`, (row) => row.expires),
];

/** The leases that use a secret now. */
export function LeasesWith({ secret, onClose }: { secret: Secret; onClose: () => void }) {
  const { name } = secret;
  const leases = useQuery(leasesWithQuery(name));
  const others = leases.data ? secret.num_leases - leases.data.length : 0;
  return (
    <Dialog title={t`Leases with ${name}`} onClose={onClose} size="xl">
      <Stack>
        <DataTable
          caption={t`Leases with ${name}`}
          list="leases-with-secret"
          name="leases"
          query={leases}
          columns={COLUMNS}
          rowKey={(row) => row.lease_id}
          minWidth={480}
          empty={
            <EmptyState icon={IconRobot} title={t`No lease with this secret is visible to you`}>
              <Trans>A lease is visible to the user of its session and to administrators.</Trans>
            </EmptyState>
          }
        />
        {others > 0 && (
          <Text size="sm" className="dimmed">
            <Plural
              value={others}
              one="# more lease is not visible to you."
              other="# more leases are not visible to you."
            />
          </Text>
        )}
      </Stack>
    </Dialog>
  );
}
