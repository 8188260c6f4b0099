import { Anchor, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { sessionVideosQuery, type SessionVideo } from '../../api/sessionVideos';
import { Amount } from '../../components/Amount';
import { shortDuration } from '../../components/clock';
import { timeColumn } from '../../components/columns';
import { bytes } from '../../components/format';
import { ResourcePage } from '../../components/ResourcePage';
import type { Column } from '../../components/tableState';
import { TimeAgo } from '../../components/TimeAgo';

const COLUMNS: Column<SessionVideo>[] = [
  {
    key: 'user',
    title: 'User',
    value: (row) => row.username,
    render: (row) => (
      <Anchor component={Link} to={row.session_id} size="sm">
        {row.username}
      </Anchor>
    ),
  },
  { key: 'workspace', title: 'Workspace', value: (row) => row.image_friendly_name },
  timeColumn('begun', 'Started', (row) => row.begun),
  {
    key: 'ended',
    title: 'Ended',
    value: (row) => row.ended,
    render: (row) => (row.ended ? <TimeAgo time={row.ended} /> : <Text size="sm">not complete</Text>),
  },
  {
    key: 'duration',
    title: 'Duration',
    value: (row) => row.duration_ms,
    align: 'right',
    render: (row) => <Amount>{shortDuration(row.duration_ms / 1000)}</Amount>,
  },
  {
    key: 'size',
    title: 'Size',
    value: (row) => row.size_bytes,
    align: 'right',
    render: (row) => <Amount>{bytes(row.size_bytes)}</Amount>,
  },
];

/** The videos of recorded sessions. */
export function SessionVideos() {
  return (
    <ResourcePage
      note="Videos of sessions that a group or a workspace requires to be recorded. Each viewing is an event of the audit."
      query={useQuery(sessionVideosQuery())}
      columns={COLUMNS}
      rowKey={(video) => video.session_id}
      sort="-begun"
      empty="No session videos"
      emptyNote="The group setting record_sessions records the sessions of members, and Record sessions of a workspace records its sessions."
    />
  );
}
