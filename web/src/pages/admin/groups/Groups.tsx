import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Group as Row } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconSettings } from '@tabler/icons-react';
import { groupsQuery } from '../../../api/queries';
import type { Group } from '../../../api/types';
import { numberColumn } from '../../../components/columns';
import { Cut } from '../../../components/Cut';
import { ResourcePage } from '../../../components/ResourcePage';
import type { Column } from '../../../components/tableState';
import { RowButton } from '../../../components/RowButton';
import { RowLink } from '../../../components/RowLink';
import { useBulkGroups } from './bulkGroups';
import { CreateGroup } from './GroupForm';
import { PermissionTitles } from '../PermissionsField';

const COLUMNS: Column<Group>[] = [
  { key: 'name', title: t`Name`, value: (row) => row.name, render: (row) => <Name group={row} /> },
  numberColumn('priority', t`Priority`, (row) => row.priority),
  numberColumn('users', t`Users`, (row) => row.num_users),
  numberColumn('workspaces', t`Workspaces`, (row) => row.images.length),
  numberColumn('settings', t`Settings`, (row) => Object.keys(row.settings).length),
  {
    key: 'permissions',
    title: t`Permissions`,
    value: (row) => row.permissions.join(', '),
    render: (row) => <Cut>{row.permissions.length === 0 ? '–' : <PermissionTitles codes={row.permissions} />}</Cut>,
  },
];

/** Groups give permissions, settings and workspaces to their members. */
export function Groups() {
  return (
    <ResourcePage
      list="groups"
      note={t`If a user is in several groups, the setting of the group with the lowest priority number applies.`}
      query={useQuery(groupsQuery)}
      columns={COLUMNS}
      rowKey={(group) => group.group_id}
      sort="priority"
      bulk={useBulkGroups()}
      empty={t`No groups`}
      form={(_, close) => <CreateGroup onClose={close} />}
      actions={({ group_id, name }) => (
        <RowButton label={t`Settings of ${name}`} icon={IconSettings} to={`/admin/groups/${group_id}?tab=settings`} />
      )}
    />
  );
}

function Name({ group }: { group: Group }) {
  return (
    <Row gap="xs" wrap="nowrap">
      <RowLink to={`/admin/groups/${group.group_id}`} note={group.description}>
        {group.name}
      </RowLink>
      {group.is_system && (
        <Badge variant="default" size="sm" miw="max-content">
          <Trans>system</Trans>
        </Badge>
      )}
    </Row>
  );
}
