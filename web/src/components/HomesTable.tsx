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
import { bytes, counted, titled } from './format';
import { RowButton } from './RowButton';
import { StatusBadge } from './StatusBadge';
import type { Column } from './tableState';
import { TimeAgo } from './TimeAgo';

const USER: Column<Home> = { key: 'user', title: 'User', value: (row) => row.username ?? 'a deleted user' };
const WORKSPACE: Column<Home> = {
  key: 'workspace',
  title: 'Workspace',
  value: (row) => row.image_friendly_name ?? 'a deleted workspace',
};
const HOST: Column<Home> = { key: 'host', title: 'Host', value: (row) => row.hostname ?? '' };
const FIGURES: Column<Home>[] = [
  {
    key: 'size',
    title: 'Size',
    align: 'right',
    value: (row) => row.size_bytes ?? -1,
    render: (row) => (row.size_bytes === null ? 'not measured yet' : bytes(row.size_bytes)),
  },
  {
    key: 'last_used',
    title: 'Last Used',
    value: (row) => row.last_used,
    render: (row) => (row.state === 'in_use' ? 'now' : <TimeAgo time={row.last_used} />),
  },
  {
    key: 'state',
    title: 'State',
    value: (row) => row.state.replace('_', ' '),
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
  return (
    <DataTable
      caption="Home folders"
      {...(name ? { name } : {})}
      query={homes}
      columns={columns}
      rowKey={(row) => row.home_id}
      sort="-size"
      tools={
        homes.data?.length ? (
          <Text size="sm" className="dimmed">
            {counted(homes.data.length, 'home folder')}, {bytes(total)}
          </Text>
        ) : undefined
      }
      empty={
        <EmptyState icon={IconHome} title="No home folder is kept">
          Home folders appear here after the first session of a workspace that keeps files between sessions.
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
  const of = `${home.username ?? 'a deleted user'} in ${home.image_friendly_name ?? 'a deleted workspace'}`;
  return (
    <Confirm
      title="Delete this home folder?"
      action="Delete all files"
      onConfirm={() => deleteHome(home.home_id)}
      touched={['homes']}
      trigger={(open) => (
        <RowButton label={`${titled('delete')} the home folder of ${of}`} icon={IconTrash} onClick={open} />
      )}
    >
      {home.loss}
      {home.size_bytes !== null && ` They take ${bytes(home.size_bytes)}.`} The next session of this workspace starts
      with an empty home folder.
    </Confirm>
  );
}
