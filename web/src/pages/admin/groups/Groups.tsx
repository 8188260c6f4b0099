import { Badge, Button, Group as Row, Text } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { IconPlus, IconUsersGroup } from '@tabler/icons-react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { groupsQuery } from '../../../api/queries';
import type { Group } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { RowLink } from '../../../components/RowLink';
import { CreateGroup } from './GroupForm';
import { PermissionTitles } from '../PermissionsField';

/** Groups give permissions, settings and workspaces to their members. */
export function Groups() {
  const groups = useQuery(groupsQuery);
  const allowed = useAllowed();
  const [creating, { open, close }] = useDisclosure(false);
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
          {row.permissions.length === 0 ? '–' : <PermissionTitles codes={row.permissions} />}
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
          component={Link}
          to={`/admin/groups/${row.group_id}?tab=settings`}
          size="compact-sm"
          variant="default"
          aria-label={`Settings of ${row.name}`}
        >
          Settings
        </Button>
      ),
    },
  ];
  const create = allowed('groups_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={open}>
      Create Group
    </Button>
  );
  return (
    <>
      <PageHeader title="Groups" actions={create}>
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
      {creating && <CreateGroup onClose={close} />}
    </>
  );
}

function Name({ group }: { group: Group }) {
  return (
    <Row gap="xs" wrap="nowrap" align="flex-start">
      <RowLink to={`/admin/groups/${group.group_id}`} note={group.description}>
        {group.name}
      </RowLink>
      {group.is_system && (
        <Badge variant="default" size="sm" miw="max-content">
          system
        </Badge>
      )}
    </Row>
  );
}
