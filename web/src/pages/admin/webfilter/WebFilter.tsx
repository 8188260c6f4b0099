import { Button, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconPlus, IconShieldHalf } from '@tabler/icons-react';
import { useState } from 'react';
import { deleteFilterPolicy } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { filterPoliciesQuery } from '../../../api/queries';
import type { FilterPolicy } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { counted } from '../../../components/format';
import { PageHeader } from '../../../components/PageHeader';
import { RowAction } from '../../../components/RowAction';
import { PolicyForm } from './PolicyForm';
import { TryPolicy } from './TryPolicy';

const SHOWN = 4;

/** Web Filter: which sites sessions may open; a policy is given to workspaces and groups. */
export function WebFilter() {
  const policies = useQuery(filterPoliciesQuery);
  const allowed = useAllowed();
  const [edited, setEdited] = useState<FilterPolicy | 'new' | null>(null);
  const [tried, setTried] = useState<FilterPolicy | null>(null);
  const create = allowed('webfilters_create') && (
    <Button leftSection={<IconPlus size={16} aria-hidden />} onClick={() => setEdited('new')}>
      Create Policy
    </Button>
  );
  const columns: Column<FilterPolicy>[] = [
    {
      key: 'name',
      title: 'Name',
      value: (row) => `${row.name} ${row.description}`,
      render: (row) => (
        <>
          <Text size="sm" fw={600}>
            {row.name}
          </Text>
          <Text size="xs" c="dimmed">
            {row.description}
          </Text>
        </>
      ),
    },
    {
      key: 'default',
      title: 'Default action',
      value: (row) => row.default_action,
      render: (row) => (row.default_action === 'deny' ? 'Deny' : 'Allow'),
    },
    {
      key: 'allow',
      title: 'Allowed domains',
      value: (row) => row.allow.join(' '),
      render: (row) => <Domains domains={row.allow} />,
    },
    {
      key: 'deny',
      title: 'Denied domains',
      value: (row) => row.deny.join(' '),
      render: (row) => <Domains domains={row.deny} />,
    },
    {
      key: 'used',
      title: 'Used by',
      value: (row) => row.num_images + row.num_groups,
      render: (row) => (
        <Stack gap={0}>
          <Text size="sm" className="nowrap">
            {counted(row.num_images, 'workspace')}, {counted(row.num_groups, 'group')}
          </Text>
          <Text size="xs" c="dimmed" className="nowrap">
            {counted(row.num_sessions, 'session')} now
          </Text>
        </Stack>
      ),
    },
    {
      key: 'actions',
      title: 'Actions',
      hideTitle: true,
      align: 'right',
      render: (row) => (
        <Group gap={6} wrap="nowrap" justify="flex-end">
          <RowAction word="Try" name={row.name} onClick={() => setTried(row)} />
          {allowed('webfilters_modify') && <RowAction word="Edit" name={row.name} onClick={() => setEdited(row)} />}
          {allowed('webfilters_delete') && <DeletePolicy policy={row} />}
        </Group>
      ),
    },
  ];
  return (
    <>
      <PageHeader title="Web Filter" actions={create}>
        Which sites sessions may open. A policy is given to a workspace, or to a group with the setting
        web_filter_policy; a change of its domains holds for running sessions at once.
      </PageHeader>
      <DataTable
        caption="Web filter policies"
        query={policies}
        columns={columns}
        rowKey={(row) => row.filter_policy_id}
        sort="name"
        minWidth={940}
        empty={
          <EmptyState icon={IconShieldHalf} title="No policies yet" action={create}>
            Without a policy sessions may open every site. Create one, then choose it in a workspace.
          </EmptyState>
        }
      />
      {edited && <PolicyForm policy={edited === 'new' ? null : edited} onClose={() => setEdited(null)} />}
      {tried && <TryPolicy policy={tried} onClose={() => setTried(null)} />}
    </>
  );
}

function Domains({ domains }: { domains: string[] }) {
  const more = domains.length - SHOWN;
  return (
    <Text size="sm" style={{ overflowWrap: 'anywhere' }}>
      {domains.slice(0, SHOWN).join(', ') || '–'}
      {more > 0 && ` and ${more} more`}
    </Text>
  );
}

function DeletePolicy({ policy }: { policy: FilterPolicy }) {
  return (
    <Confirm
      title={`Delete policy ${policy.name}?`}
      action="Delete"
      onConfirm={() => deleteFilterPolicy(policy.filter_policy_id)}
      touched={['filter-policies']}
      trigger={(open) => <RowAction word="Delete" name={policy.name} onClick={open} />}
    >
      It can be deleted once no workspace and no group uses it.
    </Confirm>
  );
}
