import { Code, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconKey } from '@tabler/icons-react';
import { apiKeysQuery } from '../../api/queries';
import type { ApiKey } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';

/** Keys with which programs use the two HTTP interfaces; secrets are shown once, when a key is made. */
export function ApiKeys() {
  const keys = useQuery(apiKeysQuery);
  const columns: Column<ApiKey>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => row.name,
      render: (row) => (
        <Text size="sm" fw={600}>
          {row.name}
        </Text>
      ),
    },
    { key: 'key', title: 'API Key', value: (row) => row.key_id, render: (row) => <Code>{row.key_id}</Code> },
    {
      key: 'status',
      title: 'Status',
      value: (row) => (row.enabled ? 'enabled' : 'disabled'),
      render: (row) => <StatusBadge status={row.enabled ? 'enabled' : 'disabled'} />,
    },
    {
      key: 'permissions',
      title: 'Permissions',
      value: (row) => row.permissions.join(', '),
      render: (row) => (
        <Text size="sm" lineClamp={2}>
          {row.permissions.join(', ') || 'none'}
          {row.read_only ? ' (read only)' : ''}
        </Text>
      ),
    },
    { key: 'created', title: 'Created', value: (row) => row.created, render: (row) => <TimeAgo time={row.created} /> },
    {
      key: 'expires',
      title: 'Expires',
      value: (row) => row.expires,
      render: (row) => <TimeAgo time={row.expires} none="never" />,
    },
    {
      key: 'used',
      title: 'Last Used',
      value: (row) => row.last_used,
      render: (row) => <TimeAgo time={row.last_used} none="never" />,
    },
  ];
  return (
    <>
      <PageHeader title="API Keys">
        For programs. Make one with <Code>greenroom keys create</Code>; its secret is shown that one time.
      </PageHeader>
      <DataTable
        caption="API Keys"
        query={keys}
        columns={columns}
        rowKey={(row) => row.key_id}
        sort="name"
        minWidth={900}
        empty={
          <EmptyState icon={IconKey} title="No API keys">
            Make one with <Code>greenroom keys create</Code>.
          </EmptyState>
        }
      />
    </>
  );
}
