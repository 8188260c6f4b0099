import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Stack, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconTicket, IconTrash } from '@tabler/icons-react';
import { revokeJoinToken } from '../../../api/actions';
import { useAllowed, useAllowedEverywhere } from '../../../api/auth';
import { joinTokensQuery } from '../../../api/queries';
import type { JoinToken } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { actionsColumn, timeColumn } from '../../../components/columns';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { RowButton } from '../../../components/RowButton';
import { RowPanelLink } from '../../../components/RowLink';
import { StatusBadge } from '../../../components/StatusBadge';

/** The name of the table, which is the second one of its pages. */
const NAME = 'token';

const COLUMNS: Column<JoinToken>[] = [
  {
    key: 'zone',
    title: t`Zone`,
    value: (row) => row.zone_name,
    render: (row) => <RowPanelLink row={`${NAME}:${row.join_token_id}`}>{row.zone_name}</RowPanelLink>,
  },
  { key: 'for', title: t`For`, value: (row) => row.agent_hostname ?? t`new hosts` },
  { key: 'enable', title: t`Enabled at once`, value: (row) => (row.enable_agent ? t`yes` : t`no`) },
  {
    key: 'status',
    title: t`Status`,
    value: (row) => row.status,
    render: (row) => <StatusBadge status={row.status} intended={row.status !== 'open'} />,
  },
  {
    key: 'used',
    title: t`Used`,
    value: (row) => row.used,
    render: (row) => {
      const { used } = row;
      const total = used + row.uses_left;
      return t`${used} of ${total}`;
    },
  },
  timeColumn('created', t`Created`, (row) => row.created),
  { key: 'by', title: t`Created by`, value: (row) => row.created_by || '–' },
  timeColumn('expires', t`Expires`, (row) => row.expires),
  actionsColumn((row) => <Revoke token={row} />),
];

/** The join tokens of a role, including recently ended ones, which explain refusals. Nothing if there are none. */
export function JoinTokens({ role }: { role: JoinToken['role'] }) {
  const tokens = useQuery({ ...joinTokensQuery, enabled: useAllowedEverywhere()('agents_view') });
  const data = tokens.data?.filter((token) => token.role === role);
  if (!data?.length) return null;
  return (
    <Stack component="section" gap="sm" mt="xl">
      <Title order={2} fz={18}>
        <Trans>Join tokens</Trans>
      </Title>
      <DataTable
        caption={t`Join tokens`}
        list="join-tokens"
        name={NAME}
        query={{ data, error: tokens.error }}
        columns={COLUMNS}
        rowKey={(row) => row.join_token_id}
        panelTitle={titleOf}
        sort="-created"
        empty={<EmptyState icon={IconTicket} title={t`No join tokens`} />}
      />
    </Stack>
  );
}

function purposeOf({ agent_hostname: host, zone_name: zone }: JoinToken): string {
  return host ?? t`zone ${zone}`;
}

function titleOf(token: JoinToken): string {
  const purpose = purposeOf(token);
  return t`Join token for ${purpose}`;
}

function Revoke({ token }: { token: JoinToken }) {
  if (!useAllowed()('agents_create') || token.status !== 'open') return null;
  const purpose = purposeOf(token);
  return (
    <Confirm
      title={t`Revoke this join token for ${purpose}?`}
      action={t`Revoke`}
      onConfirm={() => revokeJoinToken(token.join_token_id)}
      touched={['join-tokens']}
      trigger={(open) => <RowButton label={t`Revoke the join token for ${purpose}`} icon={IconTrash} onClick={open} />}
    >
      <Trans>No host can join with this token any more. Hosts that have joined are not affected.</Trans>
    </Confirm>
  );
}
