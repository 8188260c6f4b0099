import { Code, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconCpu } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../api/auth';
import { agentsQuery, changeAgent, managersQuery } from '../../api/queries';
import type { Agent } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EnabledSwitch } from '../../components/EnabledSwitch';
import { EmptyState } from '../../components/feedback';
import { bytes, trimmed } from '../../components/format';
import { Meter } from '../../components/Meter';
import { PageHeader } from '../../components/PageHeader';
import { ShortId } from '../../components/ShortId';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';

// An Agent is missing when it has not reported for 15 s (DESIGN §4).
const LATE_S = 10;
const MISSING_S = 15;

/** Infrastructure → Docker Agents: the machines on which sessions run. */
export function Agents() {
  const agents = useQuery(agentsQuery);
  const managers = useQuery(managersQuery);
  const allowed = useAllowed();
  const managerOf = (row: Agent) =>
    managers.data?.find((manager) => manager.manager_id === row.manager_id)?.instance_id ?? '';
  const columns: Column<Agent>[] = [
    {
      key: 'agent',
      title: 'Agent',
      value: (row) => `${row.hostname} ${row.agent_id}`,
      render: (row) => (
        <>
          <Text size="sm" fw={600}>
            {row.hostname}
          </Text>
          <ShortId id={row.agent_id} />
        </>
      ),
    },
    {
      key: 'enabled',
      title: 'Enabled',
      value: (row) => (row.enabled ? 'enabled' : 'disabled'),
      render: (row) => (
        <EnabledSwitch
          enabled={row.enabled}
          name={`Agent ${row.hostname}`}
          list="agents"
          disabled={!allowed('agents_modify')}
          onChange={(enabled) => changeAgent(row.agent_id, { enabled })}
        />
      ),
    },
    {
      key: 'status',
      title: 'Status',
      value: (row) => row.status,
      render: (row) => <StatusBadge status={row.status} />,
    },
    { key: 'zone', title: 'Zone', value: (row) => row.zone_name },
    {
      key: 'sessions',
      title: 'Sessions',
      value: (row) => row.sessions,
      render: (row) => (
        <Text
          component={Link}
          size="sm"
          className="number"
          c="var(--mantine-color-anchor)"
          to={`/admin/sessions?q=agent:${row.agent_id.slice(0, 8)}`}
        >
          {row.sessions}
        </Text>
      ),
    },
    {
      key: 'cores',
      title: 'Cores reserved',
      value: (row) => row.cores_allocated,
      render: (row) => (
        <Meter
          used={row.cores_allocated}
          total={row.cores}
          format={trimmed}
          label={`Cores reserved on ${row.hostname}`}
        />
      ),
    },
    {
      key: 'memory',
      title: 'Memory reserved',
      value: (row) => row.memory_allocated,
      render: (row) => (
        <Meter
          used={row.memory_allocated}
          total={row.memory}
          format={bytes}
          label={`Memory reserved on ${row.hostname}`}
        />
      ),
    },
    {
      key: 'manager',
      title: 'Manager',
      value: managerOf,
      render: (row) => (managerOf(row) ? <ShortId id={managerOf(row)} /> : '–'),
    },
    {
      key: 'last',
      title: 'Last Reported Time',
      value: (row) => row.last_reported,
      render: (row) => <TimeAgo time={row.last_reported} none="never" warnAfter={LATE_S} alarmAfter={MISSING_S} />,
    },
  ];
  return (
    <>
      <PageHeader title="Docker Agents">
        The machines on which sessions run. A disabled Agent keeps its sessions and gets no new ones.
      </PageHeader>
      <DataTable
        caption="Docker Agents"
        query={agents}
        columns={columns}
        rowKey={(row) => row.agent_id}
        sort="zone"
        minWidth={1060}
        empty={
          <EmptyState icon={IconCpu} title="No Agent has registered yet">
            Start one on a machine with Docker: <Code>greenroom agent</Code>.
          </EmptyState>
        }
      />
    </>
  );
}
