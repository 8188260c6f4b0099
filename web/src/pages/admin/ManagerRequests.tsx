import { Code, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconListDetails } from '@tabler/icons-react';
import { agentsQuery, managerRequestsQuery } from '../../api/queries';
import type { ManagerRequest } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { ShortId } from '../../components/ShortId';
import { TimeAgo } from '../../components/TimeAgo';
import { textIn } from '../../components/tones';

/** Diagnostics → Manager Requests: what Agents asked of Managers; all that was refused, the rest counted. */
export function ManagerRequests() {
  const requests = useQuery(managerRequestsQuery);
  const agents = useQuery(agentsQuery);
  const agentOf = (row: ManagerRequest) =>
    agents.data?.find((agent) => agent.agent_id === row.agent_id)?.hostname ?? row.agent_id ?? 'unknown';
  const columns: Column<ManagerRequest>[] = [
    { key: 'time', title: 'Time', value: (row) => row.time, render: (row) => <TimeAgo time={row.time} /> },
    { key: 'agent', title: 'Agent', value: agentOf },
    {
      key: 'manager',
      title: 'Manager',
      value: (row) => row.manager_instance_id,
      render: (row) => <ShortId id={row.manager_instance_id} />,
    },
    {
      key: 'request',
      title: 'Request',
      value: (row) => `${row.method} ${row.path}`,
      render: (row) => (
        <Code className="nowrap">
          {row.method} {row.path}
        </Code>
      ),
    },
    { key: 'status', title: 'Status', value: (row) => row.status, render: (row) => <Status status={row.status} /> },
    {
      key: 'count',
      title: 'Count',
      value: (row) => row.count,
      render: (row) => (
        <Text size="sm" className="number">
          {row.count}
        </Text>
      ),
    },
    {
      key: 'duration',
      title: 'Duration',
      value: (row) => row.duration_ms,
      render: (row) => (
        <Text size="sm" className="number nowrap">
          {row.duration_ms.toFixed(1)} ms
        </Text>
      ),
    },
  ];
  return (
    <>
      <PageHeader title="Manager Requests">
        Every request of an Agent that was not answered with 2xx; the others are counted per Agent and minute.
      </PageHeader>
      <DataTable
        caption="Manager Requests"
        query={requests}
        columns={columns}
        sort="-time"
        minWidth={900}
        rowKey={(row) => String(row.request_id)}
        empty={
          <EmptyState icon={IconListDetails} title="No requests yet">
            Agents ask their Manager every few seconds once they are registered.
          </EmptyState>
        }
      />
    </>
  );
}

function Status({ status }: { status: number }) {
  const bad = status >= 400;
  return (
    <Text size="sm" fw={bad ? 650 : 400} className="number" c={bad ? textIn('red') : undefined}>
      {status}
    </Text>
  );
}
