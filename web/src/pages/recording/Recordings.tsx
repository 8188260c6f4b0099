import { ph, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
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
    title: t`Workspace`,
    value: (row) => row.image_friendly_name,
    render: (row) => (
      <Anchor component={Link} to={row.lease_id} size="sm">
        {row.image_friendly_name || t`a workspace`}
      </Anchor>
    ),
  },
  { key: 'user', title: t`User`, value: (row) => row.username },
  { key: 'holder', title: t`Lease requested by`, value: (row) => row.holder },
  timeColumn('begun', t`Started`, (row) => row.begun),
  {
    key: 'ended',
    title: t`Ended`,
    value: (row) => row.ended,
    render: (row) => (row.ended ? <TimeAgo time={row.ended} /> : <StatusBadge status="running" />),
  },
  {
    key: 'actions',
    title: t`Actions`,
    value: (row) => row.rows,
    align: 'right',
    render: (row) => <Amount>{row.rows}</Amount>,
  },
  {
    key: 'pictures',
    title: t`Pictures`,
    value: (row) => row.picture_bytes,
    align: 'right',
    render: (row) => (
      <Amount>
        {row.record === 'pictures'
          ? `${row.pictures} (${bytes(row.picture_bytes)})`
          : t({ message: 'none', context: 'pictures' })}
      </Amount>
    ),
  },
];

/** The recordings of the leases of the user, and with `recordings_view` those of all users. */
export function Recordings() {
  const allowed = useAllowed();
  return (
    <ResourcePage
      note={
        allowed('recordings_view')
          ? t`Recordings of the actions of programs in all leases. A lease is a session that a program holds.`
          : t`Recordings of the actions of programs in your leases. A lease is a session that a program holds.`
      }
      list="recordings"
      query={useQuery(recordingsQuery())}
      columns={COLUMNS}
      rowKey={(recording) => recording.lease_id}
      sort="-begun"
      empty={t`No recordings`}
      emptyNote={
        <Trans>
          The program requests a recording with{' '}
          <Text span size="sm" className={styles.code}>
            {ph({ code: '"record": "pictures"' })}
          </Text>{' '}
          in its lease. The group setting record_leases records all leases of its members.
        </Trans>
      }
    />
  );
}
