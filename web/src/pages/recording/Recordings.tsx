import { Anchor, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { useAllowed } from '../../api/auth';
import { recordingsQuery, type Recording } from '../../api/recordings';
import { Amount } from '../../components/Amount';
import { bytes } from '../../components/format';
import { StatusBadge } from '../../components/StatusBadge';
import { timeColumn } from '../../components/columns';
import { ResourcePage } from '../../components/ResourcePage';
import type { Column } from '../../components/tableState';
import { TimeAgo } from '../../components/TimeAgo';
import styles from './Recording.module.css';

const COLUMNS: Column<Recording>[] = [
  {
    key: 'workspace',
    title: 'Workspace',
    value: (row) => row.image_friendly_name,
    render: (row) => (
      <Anchor component={Link} to={row.lease_id} size="sm">
        {row.image_friendly_name || 'a workspace'}
      </Anchor>
    ),
  },
  { key: 'user', title: 'User', value: (row) => row.username },
  { key: 'holder', title: 'Lease requested by', value: (row) => row.holder },
  timeColumn('begun', 'Started', (row) => row.begun),
  {
    key: 'ended',
    title: 'Ended',
    value: (row) => row.ended,
    render: (row) => (row.ended ? <TimeAgo time={row.ended} /> : <StatusBadge status="running" />),
  },
  {
    key: 'actions',
    title: 'Actions',
    value: (row) => row.rows,
    align: 'right',
    render: (row) => <Amount>{row.rows}</Amount>,
  },
  {
    key: 'pictures',
    title: 'Pictures',
    value: (row) => row.picture_bytes,
    align: 'right',
    render: (row) => (
      <Amount>{row.record === 'pictures' ? `${row.pictures} (${bytes(row.picture_bytes)})` : 'none'}</Amount>
    ),
  },
];

/** The recordings of the leases of the user, and with `recordings_view` those of all users. */
export function Recordings() {
  const allowed = useAllowed();
  return (
    <ResourcePage
      note={`Recordings of the actions of programs in ${allowed('recordings_view') ? 'all' : 'your'} leases. A lease is a session that a program holds.`}
      query={useQuery(recordingsQuery())}
      columns={COLUMNS}
      rowKey={(recording) => recording.lease_id}
      sort="-begun"
      empty="No recordings"
      emptyNote={
        <>
          The program requests a recording with{' '}
          <Text span size="sm" className={styles.code}>
            &quot;record&quot;: &quot;pictures&quot;
          </Text>{' '}
          in its lease. The group setting record_leases records all leases of its members.
        </>
      }
    />
  );
}
