import { Badge, Code, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCrown, IconServer2 } from '@tabler/icons-react';
import { useAllowed } from '../../api/auth';
import { changeManager, managersQuery } from '../../api/queries';
import type { Manager } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EnabledSwitch } from '../../components/EnabledSwitch';
import { EmptyState, showDone } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { ShortId } from '../../components/ShortId';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';

// A Manager counts as running while its last report is at most 15 s old (CONTRACT "Manager status").
const LATE_S = 10;
const SILENT_S = 15;

/** Infrastructure → Managers, with the columns of the seed page. */
export function Managers() {
  const managers = useQuery(managersQuery);
  const allowed = useAllowed();
  const columns: Column<Manager>[] = [
    {
      key: 'instance',
      title: 'Instance ID',
      value: (row) => row.instance_id,
      render: (row) => <ShortId id={row.instance_id} />,
    },
    {
      key: 'enabled',
      title: 'Enabled',
      value: (row) => (row.enabled ? 'enabled' : 'disabled'),
      render: (row) => (
        <EnabledSwitch
          enabled={row.enabled}
          name={`Manager ${row.instance_id}`}
          list="managers"
          disabled={!allowed('managers_modify')}
          onChange={(enabled) => setEnabled(row, enabled)}
        />
      ),
    },
    {
      key: 'first',
      title: 'First Reported Time',
      value: (row) => row.first_reported,
      render: (row) => (
        <Text size="sm" className="nowrap">
          {new Date(row.first_reported).toLocaleString()}
        </Text>
      ),
    },
    {
      key: 'last',
      title: 'Last Reported Time',
      value: (row) => row.last_reported,
      render: (row) => <TimeAgo time={row.last_reported} warnAfter={LATE_S} alarmAfter={SILENT_S} />,
    },
    { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
    {
      key: 'status',
      title: 'Status',
      value: (row) => row.status,
      render: (row) => <StatusBadge status={row.status} />,
    },
    {
      key: 'primary',
      title: 'Primary Manager',
      value: (row) => (row.is_primary ? 'primary' : ''),
      render: (row) =>
        row.is_primary ? (
          <Primary term={row.term} />
        ) : (
          <Text span size="sm" c="dimmed">
            No
          </Text>
        ),
    },
  ];
  return (
    <>
      <PageHeader title="Managers">
        They coordinate the Agents; one enabled Manager of each zone is its Primary. A Manager can be disabled for
        maintenance without stopping it.
      </PageHeader>
      <DataTable
        caption="Managers"
        query={managers}
        columns={columns}
        rowKey={(row) => row.manager_id}
        sort="zone"
        minWidth={980}
        empty={
          <EmptyState icon={IconServer2} title="No Manager has reported yet">
            Start one with <Code>greenroom manager</Code>.
          </EmptyState>
        }
      />
    </>
  );
}

/** Enable or disable; the server says when what remains enabled in the zone is not running. */
async function setEnabled({ manager_id }: Manager, enabled: boolean): Promise<void> {
  const { warning } = await changeManager(manager_id, { enabled });
  if (warning) showDone(warning, 'yellow');
}

function Primary({ term }: { term: number | null }) {
  return (
    <Group gap={6} wrap="nowrap">
      <Badge variant="filled" leftSection={<IconCrown size={12} aria-hidden />}>
        Primary
      </Badge>
      {term !== null && (
        <Text size="xs" c="dimmed" className="nowrap">
          term {term}
        </Text>
      )}
    </Group>
  );
}
