import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconHome, IconTrash } from '@tabler/icons-react';
import { useMemo } from 'react';
import { deleteHome } from '../api/actions';
import { useAllowed, useMe } from '../api/auth';
import { homesQuery, type HomesQuestion } from '../api/queries';
import type { Home } from '../api/types';
import { Confirm } from './Confirm';
import { actionsColumn } from './columns';
import { DataTable } from './DataTable';
import { EmptyState } from './feedback';
import { bytes } from './format';
import { RowButton } from './RowButton';
import { StatusBadge } from './StatusBadge';
import type { Column } from './tableState';
import { TimeAgo } from './TimeAgo';

const STATES: Record<Home['state'], string> = { kept: t`kept`, in_use: t`in use`, deleting: t`deleting` };

const USER: Column<Home> = { key: 'user', title: t`User`, value: (row) => row.username ?? t`a deleted user` };
const WORKSPACE: Column<Home> = {
  key: 'workspace',
  title: t`Workspace`,
  value: (row) => row.image_friendly_name ?? t`a deleted workspace`,
};
const HOST: Column<Home> = { key: 'host', title: t`Host`, value: (row) => row.hostname ?? '' };
const FIGURES: Column<Home>[] = [
  {
    key: 'size',
    title: t`Size`,
    align: 'right',
    value: (row) => row.size_bytes ?? -1,
    render: (row) => (row.size_bytes === null ? t`not measured yet` : bytes(row.size_bytes)),
  },
  {
    key: 'last_used',
    title: t`Last Used`,
    value: (row) => row.last_used,
    render: (row) => (row.state === 'in_use' ? t`now` : <TimeAgo time={row.last_used} />),
  },
  {
    key: 'state',
    title: t`State`,
    value: (row) => STATES[row.state],
    render: (row) => (
      <>
        <StatusBadge status={row.state === 'in_use' ? 'in use' : row.state} />
        {row.remark && <div className="row-note">{row.remark}</div>}
      </>
    ),
  },
  actionsColumn((row) => <Delete home={row} />),
];

interface Props {
  /** A condition. Without it, the home folders of all users are shown, or only the own ones. */
  of: HomesQuestion;
  /** Of a table that is not the first of its page. */
  name?: string;
}

/** Home folders that are kept: whose, how large, last used when; and a way to delete each. */
export function HomesTable({ of, name }: Props) {
  const homes = useQuery(homesQuery(of));
  const seesHosts = useAllowed()('agents_view');
  const { user_id, image_id } = of;
  const columns = useMemo(
    () => [...(user_id ? [] : [USER]), ...(image_id ? [] : [WORKSPACE]), ...(seesHosts ? [HOST] : []), ...FIGURES],
    [user_id, image_id, seesHosts],
  );
  const total = (homes.data ?? []).reduce((sum, { size_bytes }) => sum + (size_bytes ?? 0), 0);
  const count = homes.data?.length ?? 0;
  const size = bytes(total);
  return (
    <DataTable
      caption={t`Home folders`}
      list="home-folders"
      {...(name ? { name } : {})}
      query={homes}
      columns={columns}
      rowKey={(row) => row.home_id}
      sort="-size"
      tools={
        count > 0 ? (
          <Text size="sm" className="dimmed">
            {t`${plural(count, { one: '# home folder', other: '# home folders' })}, ${size}`}
          </Text>
        ) : undefined
      }
      empty={
        <EmptyState icon={IconHome} title={t`No home folder is kept`}>
          <Trans>
            Home folders appear here after the first session of a workspace that keeps files between sessions.
          </Trans>
        </EmptyState>
      }
    />
  );
}

function Delete({ home }: { home: Home }) {
  const allowed = useAllowed();
  const me = useMe();
  const isOwn = me?.user.user_id === home.user_id;
  if (home.state === 'deleting' || !(isOwn || allowed('homes_delete'))) return null;
  const user = home.username ?? t`a deleted user`;
  const workspace = home.image_friendly_name ?? t`a deleted workspace`;
  const size = home.size_bytes === null ? null : bytes(home.size_bytes);
  return (
    <Confirm
      title={t`Delete this home folder?`}
      action={t`Delete all files`}
      onConfirm={() => deleteHome(home.home_id)}
      touched={['homes']}
      trigger={(open) => (
        <RowButton label={t`Delete the home folder of ${user} in ${workspace}`} icon={IconTrash} onClick={open} />
      )}
    >
      {home.loss}
      {size !== null && ` ${t`They take ${size}.`}`}{' '}
      <Trans>The next session of this workspace starts with an empty home folder.</Trans>
    </Confirm>
  );
}
