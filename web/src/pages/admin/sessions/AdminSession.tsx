import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Card, Code, Group, Stack, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconDeviceDesktop } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { useAllowed } from '../../../api/auth';
import { sessionQuery } from '../../../api/queries';
import { recordingsQuery } from '../../../api/recordings';
import { videosOfSessionQuery } from '../../../api/sessionVideos';
import type { Session } from '../../../api/types';
import { useItem } from '../../../components/address';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { Facts } from '../../../components/Facts';
import { bitRate, bytes, cores, shortId } from '../../../components/format';
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
import { type Sample, useRecentSamples } from './samples';
import { PlacementTable } from './PlacementTable';
import { RecentUse } from './RecentUse';
import { kindOf, nameOf } from './kinds';
import { settingTitle, withSettingTitles } from '../../../components/titles';
import { useLinks } from '../../../components/useLinks';
import { WhyButton } from '../../../why/WhyButton';

const LOG_CODES = { 'staging-violation': t`Incompatible settings` };

/** One session for administrators: screen, details, placement, command and log rows. */
export function AdminSession() {
  const { sessionId = '' } = useItem();
  const session = useQuery(sessionQuery(sessionId, { follow: false }));
  const samples = useRecentSamples(session.data, session.dataUpdatedAt);
  const allowed = useAllowed();
  const tabs = (data: Session): Tab[] => {
    const running = data.status === 'running';
    return [
      {
        key: 'details',
        title: t`Details`,
        content: (
          <Stack>
            {running && allowed('sessions_screenshot') && (
              <Screen key={`${data.session_id}/${data.user_id}`} session={data} />
            )}
            <Details session={data} samples={samples} />
          </Stack>
        ),
      },
      ...(data.user_id
        ? [{ key: 'placement', title: t`Placement`, content: <PlacementTable sessionId={data.session_id} /> }]
        : []),
      ...(running && allowed('sessions_modify')
        ? [{ key: 'command', title: t`Command`, content: <CommandForm sessionId={data.session_id} /> }]
        : []),
      ...(allowed('system_view')
        ? [
            {
              key: 'logs',
              title: t`Logs`,
              content: <LogsTable fixed={{ session_id: data.session_id }} codes={LOG_CODES} />,
            },
          ]
        : []),
    ];
  };
  return (
    <DetailsPage
      list={{ to: '/admin/sessions', title: t`Sessions` }}
      query={session}
      title={titleOf}
      note={(data) => (
        <>
          <StatusBadge status={data.status} staged={kindOf(data) === 'staged'} />{' '}
          {data.user_id ? (
            <WhyButton subject={{ kind: 'session', id: data.session_id }} about={t`launch of this session`} />
          ) : (
            data.staging_config_id && (
              <WhyButton subject={{ kind: 'pool', id: data.staging_config_id }} about={t`pool of this session`} />
            )
          )}
        </>
      )}
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

/** The workspace and the user of a session, or its kind. */
function titleOf(session: Session): string {
  const { image_friendly_name: workspace, username } = session;
  if (username) return t`${username}’s ${workspace}`;
  const kind = kindOf(session);
  if (kind === 'with a user') return workspace;
  return kind === 'staged' ? t`Staged session of ${workspace}` : t`Quarantined session of ${workspace}`;
}

/** The link to the recording of a lease of the session, if the user may view it. */
function RecordingLink({ sessionId }: { sessionId: string }) {
  const allowed = useAllowed();
  const { data: found } = useQuery({ ...recordingsQuery(sessionId), enabled: allowed('recordings_view') });
  if (!found?.[0]) return null;
  return (
    <Button component={Link} to={`/admin/recordings/${found[0].lease_id}`} variant="default">
      <Trans>Recording</Trans>
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
      <Trans>Video</Trans>
    </Button>
  );
}

function Details({ session, samples }: { session: Session; samples: Sample[] }) {
  const to = useLinks();
  const granted = PERMISSION_FIELDS.filter((name) => session.permissions[name]).map((name) => settingTitle(name));
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Facts
        facts={[
          [t`Session ID`, <ShortId key="id" id={session.session_id} />],
          [
            t`User`,
            session.user_id
              ? to(`/admin/users/${session.user_id}`, session.username ?? session.user_id, 'users_view')
              : kindOf(session) === 'staged' && t`none yet (staged)`,
          ],
          [t`Workspace`, to(`/admin/workspaces/${session.image_id}`, session.image_friendly_name, 'images_view')],
          [t`Origin`, <Origin key="origin" session={session} />],
          [t`Zone`, session.zone_name],
          [t`Agent`, session.hostname],
          [t`Reserved`, amountsOf(session.cores, session.memory)],
          [t`Used`, usedOf(session)],
          [t`Usage since opening this page`, usedOf(session) && <RecentUse key="use" samples={samples} />],
          [t`Round trip`, session.round_trip_ms !== null && `${Math.round(session.round_trip_ms)} ms`],
          [t`Stream`, streamOf(session)],
          [t`Client`, session.client_address],
          [t`Created`, <TimeAgo key="created" time={session.created} />],
          [t`Usable since`, session.started && <TimeAgo key="started" time={session.started} />],
          [t`Assigned`, session.assigned && <TimeAgo key="assigned" time={session.assigned} />],
          [t`Last used`, session.keepalive && <TimeAgo key="keepalive" time={session.keepalive} />],
          [
            t`Expires`,
            kindOf(session) !== 'quarantined' && session.expires && <ExpiryAndWhy key="expires" session={session} />,
          ],
          [t`Time limit`, session.time_limit_ends && <TimeAgo key="limit" time={session.time_limit_ends} />],
          [t`Session permissions`, granted.join(', ') || t`none`],
          [t`Address opened at launch`, session.kasm_url],
          [t`Status`, session.operational_message],
          [t`Reason for stopping`, session.stopped_reason && withSettingTitles(session.stopped_reason)],
          [t`Reason for ending`, session.ended_reason && withSettingTitles(session.ended_reason)],
          [t`Reason for the quarantine`, session.set_aside_reason],
          [
            t`Replaced by`,
            session.superseded_by &&
              to(`/admin/sessions/${session.superseded_by}`, shortId(session.superseded_by), 'sessions_view'),
          ],
          [t`Error`, session.error],
          [t`Exit code`, session.exit_code],
        ]}
      />
      {session.log_tail && (
        <Stack gap={4} mt="sm">
          <Text size="sm" c="dimmed">
            <Trans>Last lines of the container</Trans>
          </Text>
          <Code block>{session.log_tail}</Code>
        </Stack>
      )}
    </Card>
  );
}

/** The next automatic action, and the decision about the group setting that it comes from. */
function ExpiryAndWhy({ session }: { session: Session }) {
  const { user_id: id, expires_setting: name } = session;
  const allowed = useAllowed();
  return (
    <>
      <Expiry session={session} />{' '}
      {id && name && allowed('users_view') && (
        <WhyButton subject={{ kind: 'setting', id, name }} about={t`expiry of this session`} />
      )}
    </>
  );
}

/** The last measurement of the Agent. */
function usedOf({ cpu_used, memory_used }: Session) {
  return cpu_used !== null && memory_used !== null && amountsOf(cpu_used, memory_used);
}

/** The last rates of the picture that the page of the user received. */
function streamOf({ frames_s, kbit_s }: Session) {
  return frames_s != null && kbit_s != null && `${t`${{ frames: Math.round(frames_s) }} fps`}, ${bitRate(kbit_s)}`;
}

function amountsOf(cpu: number, memory: number): string {
  return t`${{ cores: cores(cpu) }} cores, ${{ memory: bytes(memory) }}`;
}

/** The origin of a session: a pool, or on demand. */
function Origin({ session: { staging_config_id: configId } }: { session: Session }) {
  return configId ? (
    <Trans>
      staged: <ConfigLink id={configId} />
    </Trans>
  ) : (
    t`on demand`
  );
}

/**
 * The screen of a session. The user of a session gets a notice of each screenshot, so it is taken only when it is asked
 * for.
 */
function Screen({ session }: { session: Session }) {
  const [isShown, setShown] = useState(session.user_id === null);
  if (!isShown)
    return (
      <Group gap="sm">
        <Button variant="default" leftSection={<IconDeviceDesktop size={16} />} onClick={() => setShown(true)}>
          <Trans>Show the screen</Trans>
        </Button>
        <Text size="xs" c="dimmed">
          <Trans>The user sees a notice that you took a screenshot.</Trans>
        </Text>
      </Group>
    );
  return (
    <Card withBorder className="surface" p="md" maw={900}>
      <Screenshot
        sessionId={session.session_id}
        alt={t`Screen of ${{ session: nameOf(session) }}`}
        width={1280}
        renewAfter={5}
      />
      <Text size="xs" c="dimmed" mt="xs">
        <Trans>The picture is updated every 5 seconds while this page is open.</Trans>
      </Text>
    </Card>
  );
}
