import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Badge, Code, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconAlertTriangle, IconCrown } from '@tabler/icons-react';
import { managersQuery } from '../../../api/queries';
import type { Manager } from '../../../api/types';
import { enabledColumn, timeColumn } from '../../../components/columns';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { RowLink } from '../../../components/RowLink';
import { managerStatus, StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { WhyButton } from '../../../why/WhyButton';
import { ManagerSwitch } from './ManagerSwitch';

// A Manager counts as running while its last report is at most 15 s old (docs/reference/managers.md).
export const LATE_S = 10;
export const SILENT_S = 15;

const COLUMNS: Column<Manager>[] = [
  {
    key: 'instance',
    title: t`Instance ID`,
    value: (row) => row.instance_id,
    render: (row) => (
      <RowLink to={`/admin/infrastructure/managers/${row.manager_id}`} at="start">
        {row.instance_id}
      </RowLink>
    ),
  },
  enabledColumn((row) => <ManagerSwitch manager={row} />),
  timeColumn('first', t`First Reported Time`, (row) => row.first_reported),
  {
    key: 'last',
    title: t`Last Reported Time`,
    value: (row) => row.last_reported,
    render: (row) => <TimeAgo time={row.last_reported} warnAfter={LATE_S} alarmAfter={SILENT_S} />,
  },
  { key: 'zone', title: t`Zone`, value: (row) => row.zone_name },
  {
    key: 'status',
    title: t`Status`,
    value: statusOf,
    render: (row) => <StatusBadge status={statusOf(row)} reason={row.status_reason} />,
  },
  {
    key: 'primary',
    title: t`Primary Manager`,
    rank: 'main',
    value: (row) => (row.is_primary ? 'primary' : ''),
    render: (row) => {
      const { instance_id: name } = row;
      return (
        <Group gap={6} wrap="nowrap">
          {row.is_primary ? (
            <Primary term={row.term} />
          ) : (
            <Text span size="sm" c="dimmed">
              <Trans>No</Trans>
            </Text>
          )}
          <WhyButton subject={{ kind: 'manager', id: row.manager_id }} about={t`Manager ${name}`} />
        </Group>
      );
    },
  },
];

/** Infrastructure → Managers. */
export function Managers() {
  const managers = useQuery(managersQuery);
  return (
    <ResourcePage
      note={t`Managers coordinate the Agents. One enabled Manager of each zone is its Primary, which also keeps the pools filled. The term counts the changes of the Primary. To maintain a Manager without stopping it, disable it.`}
      notice={<Uncoordinated managers={managers.data ?? []} />}
      query={managers}
      columns={COLUMNS}
      list="managers"
      rowKey={(manager) => manager.manager_id}
      sort="zone"
      empty={t`No Manager has reported yet`}
      emptyNote={
        <Trans>
          Start one with <Code>greenroom manager</Code>.
        </Trans>
      }
    />
  );
}

/** The zones in which no enabled Manager runs, with the action to take. */
function Uncoordinated({ managers }: { managers: Manager[] }) {
  const zones = [...new Set(managers.map(({ zone_name }) => zone_name))].filter((zone) =>
    managers.every(({ zone_name, status }) => zone_name !== zone || status !== 'running'),
  );
  if (zones.length === 0) return null;
  const names = zones.join(', ');
  return (
    <Alert color="red" variant="light" role="status" mb="md" icon={<IconAlertTriangle aria-hidden />}>
      <Trans>
        No enabled Manager of zone {names} is running. Running sessions continue, but no session starts or ends. Start
        one of its Managers, or enable a running one.
      </Trans>
    </Alert>
  );
}

/** The status of a Manager in one word. */
export function statusOf({ enabled, status }: Manager): string {
  return managerStatus({ enabled, running: status === 'running' });
}

/** The mark of a zone's Primary, with the term of its lease. */
export function Primary({ term }: { term: number }) {
  return (
    <Group gap={6} wrap="nowrap">
      <Badge variant="filled" miw="max-content" leftSection={<IconCrown size={12} aria-hidden />}>
        <Trans>Primary</Trans>
      </Badge>
      <Text size="xs" c="dimmed" className="nowrap">
        <Trans>term {term}</Trans>
      </Text>
    </Group>
  );
}
