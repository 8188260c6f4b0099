import { t } from '@lingui/core/macro';
import { SegmentedControl } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useSearchParams } from 'react-router';
import { useAllowed } from '../../api/auth';
import { settingsQuery } from '../../api/queries';
import { type SessionVideo, sessionVideoCountQuery, sessionVideoListQuery } from '../../api/sessionVideos';
import { Amount } from '../../components/Amount';
import { shortDuration } from '../../components/clock';
import { timeColumn } from '../../components/columns';
import { bytes } from '../../components/format';
import { ResourcePage } from '../../components/ResourcePage';
import { RowLink } from '../../components/RowLink';
import { StatusBadge } from '../../components/StatusBadge';
import { type Column, withParam } from '../../components/tableState';
import { usePages } from '../../components/usePages';
import { useSpan } from '../admin/diagnostics/SpanSelect';
import { stateOf } from './timeline';

const COLUMNS: Column<SessionVideo>[] = [
  {
    key: 'user',
    title: t`User`,
    unordered: true,
    value: (row) => row.username,
    render: (row) => <RowLink to={row.session_id}>{row.username}</RowLink>,
  },
  { key: 'workspace', title: t`Workspace`, unordered: true, value: (row) => row.image_friendly_name },
  { key: 'zone', title: t`Zone`, unordered: true, value: (row) => row.zone_name },
  timeColumn('begun', t`Started`, (row) => row.begun),
  { ...timeColumn<SessionVideo>('ended', t`Ended`, (row) => row.ended, '–'), unordered: true },
  {
    key: 'state',
    title: t`State`,
    unordered: true,
    value: stateOf,
    render: (row) => <StatusBadge status={stateOf(row)} />,
  },
  {
    key: 'duration',
    title: t`Duration`,
    unordered: true,
    value: (row) => row.duration_ms,
    align: 'right',
    render: (row) => <Amount>{shortDuration(row.duration_ms / 1000)}</Amount>,
  },
  {
    key: 'size',
    title: t`Size`,
    unordered: true,
    value: (row) => row.size_bytes,
    align: 'right',
    render: (row) => <Amount>{bytes(row.size_bytes)}</Amount>,
  },
];
const OVER: Record<string, { is_over?: boolean }> = {
  all: {},
  recording: { is_over: false },
  ended: { is_over: true },
};

/** The videos of recorded sessions. */
export function SessionVideos() {
  const [params, setParams] = useSearchParams();
  const state = params.get('state') ?? 'all';
  const span = useSpan();
  const which = { ...OVER[state], ...span.asked };
  const videos = usePages({
    sort: '-begun',
    pages: (asked) => sessionVideoListQuery({ ...which, ...asked }),
    count: (asked) => sessionVideoCountQuery({ ...which, ...asked }),
  });
  const settings = useQuery({ ...settingsQuery, enabled: useAllowed()('settings_view') });
  const isHeld = settings.data?.some(({ name, value }) => name === 'audit_hold' && value === true);
  const choose = (name: string, value: string) => setParams(withParam(name, value), { replace: true });
  return (
    <ResourcePage
      note={
        isHeld
          ? t`Videos of sessions that a group or a workspace requires to be recorded. Each viewing is an event of the audit. The legal hold is on: no video is deleted.`
          : t`Videos of sessions that a group or a workspace requires to be recorded. Each viewing is an event of the audit.`
      }
      list="session-videos"
      {...videos}
      columns={COLUMNS}
      rowKey={(video) => video.session_id}
      minWidth={940}
      tools={
        <>
          <SegmentedControl
            size="xs"
            aria-label={t`State`}
            data={[
              { value: 'all', label: t`All` },
              { value: 'recording', label: t({ message: 'Recording', context: 'state' }) },
              { value: 'ended', label: t`Ended` },
            ]}
            value={state in OVER ? state : 'all'}
            onChange={(next) => choose('state', next === 'all' ? '' : next)}
          />
          {span.control}
        </>
      }
      empty={t`No session videos`}
      emptyNote={t`The group setting record_sessions records the sessions of members, and Record sessions of a workspace records its sessions.`}
    />
  );
}
