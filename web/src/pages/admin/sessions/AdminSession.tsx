import { Button, Card, Code, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { sessionQuery } from '../../../api/queries';
import { recordingsQuery } from '../../../api/recordings';
import { videosOfSessionQuery } from '../../../api/sessionVideos';
import type { Session } from '../../../api/types';
import { useItem } from '../../../components/address';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { bytes, cores } from '../../../components/format';
import { Screenshot } from '../../../components/Screenshot';
import { SessionButtons } from '../../../components/SessionButtons';
import { ShortId } from '../../../components/ShortId';
import { StatusBadge } from '../../../components/StatusBadge';
import { TimeAgo } from '../../../components/TimeAgo';
import { PERMISSION_FIELDS } from '../../../api/types';
import { AssistButton } from '../../share/AssistButton';
import { LogsTable } from '../diagnostics/LogsTable';
import { ConfigLink } from '../staging/ConfigLink';
import { CommandForm } from './CommandForm';
import { Expiry } from './Expiry';
import { PlacementTable } from './PlacementTable';
import { kindOf, nameOf } from './kinds';
import { settingTitle, withSettingTitles } from '../../../components/titles';
import { useLinks } from '../../../components/useLinks';

const LOG_CODES = { 'staging-violation': 'Incompatible settings' };

/** One session for administrators: details, placement, screen, command and log rows. */
export function AdminSession() {
  const { sessionId = '' } = useItem();
  const session = useQuery(sessionQuery(sessionId, { follow: false }));
  const allowed = useAllowed();
  const tabs = (data: Session): Tab[] => {
    const running = data.status === 'running';
    return [
      { key: 'details', title: 'Details', content: <Details session={data} /> },
      ...(data.user_id
        ? [{ key: 'placement', title: 'Placement', content: <PlacementTable sessionId={data.session_id} /> }]
        : []),
      ...(running && allowed('sessions_screenshot')
        ? [{ key: 'screen', title: 'Screen', content: <Screen session={data} /> }]
        : []),
      ...(running && allowed('sessions_modify')
        ? [{ key: 'command', title: 'Command', content: <CommandForm sessionId={data.session_id} /> }]
        : []),
      ...(allowed('system_view')
        ? [
            {
              key: 'logs',
              title: 'Logs',
              content: <LogsTable fixed={{ session_id: data.session_id }} codes={LOG_CODES} />,
            },
          ]
        : []),
    ];
  };
  return (
    <DetailsPage
      list={{ to: '/admin/sessions', title: 'Sessions' }}
      query={session}
      title={({ image_friendly_name, username }) => `${image_friendly_name}${username ? ` of ${username}` : ''}`}
      note={(data) => <StatusBadge status={data.status} />}
      actions={(data) => (
        <>
          <RecordingLink sessionId={data.session_id} />
          <VideoLink sessionId={data.session_id} />
          <AssistButton session={data} />
          <SessionButtons session={data} name={nameOf(data)} />
        </>
      )}
      tabs={tabs}
    />
  );
}

/** The link to the recording of a lease of the session, if the user may view it. */
function RecordingLink({ sessionId }: { sessionId: string }) {
  const allowed = useAllowed();
  const { data: found } = useQuery({ ...recordingsQuery(sessionId), enabled: allowed('recordings_view') });
  if (!found?.[0]) return null;
  return (
    <Button component={Link} to={`/admin/recordings/${found[0].lease_id}`} variant="default">
      Recording
    </Button>
  );
}

/** The link to the video of the session, if there is one and the user may view it. */
function VideoLink({ sessionId }: { sessionId: string }) {
  const allowed = useAllowed();
  const { data: found } = useQuery({ ...videosOfSessionQuery(sessionId), enabled: allowed('session_videos_view') });
  if (!found?.[0]) return null;
  return (
    <Button component={Link} to={`/admin/session-videos/${sessionId}`} variant="default">
      Video
    </Button>
  );
}

function Details({ session }: { session: Session }) {
  const to = useLinks();
  const granted = PERMISSION_FIELDS.filter((name) => session.permissions[name]).map((name) => settingTitle(name));
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Facts
        facts={[
          ['Session ID', <ShortId key="id" id={session.session_id} />],
          [
            'User',
            session.user_id
              ? to(`/admin/users/${session.user_id}`, session.username ?? session.user_id, 'users_view')
              : kindOf(session) === 'staged' && 'none yet (staged)',
          ],
          ['Workspace', to(`/admin/workspaces/${session.image_id}`, session.image_friendly_name, 'images_view')],
          ['Origin', <Origin key="origin" session={session} />],
          ['Zone', session.zone_name],
          ['Agent', session.hostname],
          ['Reserved', `${cores(session.cores)} cores, ${bytes(session.memory)}`],
          ['Used', usedOf(session)],
          ['Round trip', session.round_trip_ms !== null && `${Math.round(session.round_trip_ms)} ms`],
          ['Client', session.client_address],
          ['Created', <TimeAgo key="created" time={session.created} />],
          ['Usable since', session.started && <TimeAgo key="started" time={session.started} />],
          ['Assigned', session.assigned && <TimeAgo key="assigned" time={session.assigned} />],
          ['Last used', session.keepalive && <TimeAgo key="keepalive" time={session.keepalive} />],
          [
            'Expires',
            kindOf(session) !== 'quarantined' && session.expires && <Expiry key="expires" session={session} />,
          ],
          ['Time limit', session.time_limit_ends && <TimeAgo key="limit" time={session.time_limit_ends} />],
          ['Session permissions', granted.join(', ') || 'none'],
          ['Address opened at launch', session.kasm_url],
          ['Status', session.operational_message],
          ['Reason of the stop', session.stopped_reason && withSettingTitles(session.stopped_reason)],
          ['Reason of the end', session.ended_reason && withSettingTitles(session.ended_reason)],
          ['Reason of the quarantine', session.set_aside_reason],
          [
            'Replaced by',
            session.superseded_by &&
              to(`/admin/sessions/${session.superseded_by}`, session.superseded_by, 'sessions_view'),
          ],
          ['Error', session.error],
          ['Exit code', session.exit_code],
        ]}
      />
      {session.log_tail && (
        <Stack gap={4} mt="sm">
          <Text size="sm" c="dimmed">
            Last lines of the container
          </Text>
          <Code block>{session.log_tail}</Code>
        </Stack>
      )}
    </Card>
  );
}

/** The last measurement of the Agent. */
function usedOf({ cpu_used, memory_used }: Session) {
  return cpu_used !== null && memory_used !== null && `${cores(cpu_used)} cores, ${bytes(memory_used)}`;
}

/** The origin of a session: a pool, or on demand. */
function Origin({ session: { staging_config_id: configId } }: { session: Session }) {
  return configId ? (
    <>
      staged: <ConfigLink id={configId} />
    </>
  ) : (
    'on demand'
  );
}

function Screen({ session }: { session: Session }) {
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Screenshot sessionId={session.session_id} alt={`Screen of ${nameOf(session)}`} width={1280} renewAfter={5} />
      <Text size="xs" c="dimmed" mt="xs">
        The picture is updated every 5 seconds while this page is open.
      </Text>
    </Card>
  );
}
