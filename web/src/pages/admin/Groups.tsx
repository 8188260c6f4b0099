import { Badge, Button, Group as Row, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconUsersGroup } from '@tabler/icons-react';
import { useState } from 'react';
import { groupsQuery } from '../../api/queries';
import type { Group } from '../../api/types';
import { type Column, DataTable } from '../../components/DataTable';
import { EmptyState } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { GroupDetails } from './GroupDetails';

/** Groups give permissions, settings and workspaces to their members. */
export function Groups() {
  const groups = useQuery(groupsQuery);
  const [shown, setShown] = useState<string | null>(null);
  const columns: Column<Group>[] = [
    { key: 'name', title: 'Name', value: (row) => row.name, render: (row) => <Name group={row} /> },
    {
      key: 'priority',
      title: 'Priority',
      value: (row) => row.priority,
      render: (row) => (
        <Text size="sm" className="number">
          {row.priority}
        </Text>
      ),
    },
    {
      key: 'users',
      title: 'Users',
      value: (row) => row.num_users,
      render: (row) => (
        <Text size="sm" className="number">
          {row.num_users}
        </Text>
      ),
    },
    {
      key: 'workspaces',
      title: 'Workspaces',
      value: (row) => row.images.length,
      render: (row) => (
        <Text size="sm" className="number">
          {row.images.length}
        </Text>
      ),
    },
    {
      key: 'settings',
      title: 'Settings',
      value: (row) => Object.keys(row.settings).length,
      render: (row) => (
        <Text size="sm" className="number">
          {Object.keys(row.settings).length}
        </Text>
      ),
    },
    {
      key: 'permissions',
      title: 'Permissions',
      value: (row) => row.permissions.join(', '),
      render: (row) => (
        <Text size="sm" lineClamp={1}>
          {row.permissions.join(', ') || '–'}
        </Text>
      ),
    },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <Button
          size="compact-sm"
          variant="default"
          aria-label={`Settings of ${row.name}`}
          onClick={() => setShown(row.group_id)}
        >
          Settings
        </Button>
      ),
    },
  ];
  const group = groups.data?.find((each) => each.group_id === shown);
  return (
    <>
      <PageHeader title="Groups">
        Where a user is in several groups, the setting of the group with the lowest priority number holds.
      </PageHeader>
      <DataTable
        caption="Groups"
        query={groups}
        columns={columns}
        rowKey={(row) => row.group_id}
        sort="priority"
        empty={<EmptyState icon={IconUsersGroup} title="No groups" />}
      />
      {group && <GroupDetails group={group} onClose={() => setShown(null)} />}
    </>
  );
}

function Name({ group }: { group: Group }) {
  return (
    <div>
      <Row gap="xs" wrap="nowrap">
        <Text size="sm" fw={600}>
          {group.name}
        </Text>
        {group.is_system && (
          <Badge variant="default" size="sm">
            system
          </Badge>
        )}
      </Row>
      <Text size="xs" c="dimmed">
        {group.description}
      </Text>
    </div>
  );
}
