import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { deleteFilterPolicy } from '../../../api/actions';
import { filterPoliciesQuery } from '../../../api/queries';
import type { FilterPolicy } from '../../../api/types';
import { FirstOf } from '../../../components/FirstOf';
import { ResourcePage } from '../../../components/ResourcePage';
import { RemoveAction, RowAction } from '../../../components/RowAction';
import { RowPanelLink } from '../../../components/RowLink';
import type { Column } from '../../../components/tableState';
import { PolicyForm } from './PolicyForm';
import { TryPolicy } from './TryPolicy';

const SHOWN = 4;

function usersOf({ num_images: images, num_groups: groups }: FilterPolicy): string {
  return t`${plural(images, { one: '# workspace', other: '# workspaces' })}, ${plural(groups, { one: '# group', other: '# groups' })}`;
}

function sessionsOf({ num_sessions: sessions }: FilterPolicy): string {
  return t`${plural(sessions, { one: '# session', other: '# sessions' })} now`;
}

const COLUMNS: Column<FilterPolicy>[] = [
  {
    key: 'name',
    title: t`Name`,
    value: (row) => `${row.name} ${row.description}`,
    render: (row) => (
      <RowPanelLink row={row.filter_policy_id} note={row.description}>
        {row.name}
      </RowPanelLink>
    ),
  },
  {
    key: 'default',
    title: t`Default action`,
    value: (row) => row.default_action,
    render: (row) => (row.default_action === 'deny' ? t`Deny` : t`Allow`),
  },
  {
    key: 'allow',
    title: t`Allowed domains`,
    value: (row) => row.allow.join(' '),
    render: (row) => <FirstOf words={row.allow} shown={SHOWN} />,
  },
  {
    key: 'deny',
    title: t`Denied domains`,
    value: (row) => row.deny.join(' '),
    render: (row) => <FirstOf words={row.deny} shown={SHOWN} />,
  },
  {
    key: 'used',
    title: t`Used by`,
    value: (row) => row.num_images + row.num_groups,
    render: (row) => (
      <Stack gap={0}>
        <Text size="sm" className="nowrap">
          {usersOf(row)}
        </Text>
        <Text size="xs" c="dimmed" className="nowrap">
          {sessionsOf(row)}
        </Text>
      </Stack>
    ),
  },
];

/** Workspaces → Web Filter: policies of workspaces and groups for the sites that sessions may open. */
export function WebFilter() {
  const [tried, setTried] = useState<FilterPolicy | null>(null);
  return (
    <ResourcePage
      note={t`A policy defines the sites that sessions may open. Assign it to a workspace, or to a group with the setting web_filter_policy. A change of its domains applies to running sessions immediately.`}
      caption={t`Web filter policies`}
      query={useQuery(filterPoliciesQuery)}
      columns={COLUMNS}
      list="web-filter-policies"
      rowKey={(policy) => policy.filter_policy_id}
      panelTitle={({ name }) => name}
      sort="name"
      minWidth={940}
      empty={t`No policies yet`}
      emptyNote={t`Without a policy, sessions may open all sites. Create a policy, then choose it in a workspace.`}
      form={(policy, close) => <PolicyForm policy={policy} onClose={close} />}
      editName={(policy) => policy.name}
      actions={(policy) => <RowAction word="Test" name={policy.name} onClick={() => setTried(policy)} />}
      remove={({ filter_policy_id: id, name }) => (
        <RemoveAction
          noun={t`policy`}
          name={name}
          onConfirm={() => deleteFilterPolicy(id)}
          touched={['filter-policies']}
        >
          <Trans>A policy can be deleted only if no workspace and no group uses it.</Trans>
        </RemoveAction>
      )}
    >
      {tried && <TryPolicy policy={tried} onClose={() => setTried(null)} />}
    </ResourcePage>
  );
}
