import { plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Alert, Button, List, Skeleton, Text } from '@mantine/core';
import { useMutation, useQuery } from '@tanstack/react-query';
import { IconDatabaseOff, IconMovieOff, IconPlayerPlay, IconShieldCheck } from '@tabler/icons-react';
import type { ComponentProps } from 'react';
import { Link, useParams } from 'react-router';
import { useAllowed } from '../../api/auth';
import { isGone, messageOf } from '../../api/client';
import { sessionQuery } from '../../api/queries';
import { sessionVideoQuery, verifySessionVideo, viewSessionVideo, type SessionVideo } from '../../api/sessionVideos';
import { shortDuration } from '../../components/clock';
import { EmptyState, showError, StaleBanner } from '../../components/feedback';
import { bytes } from '../../components/format';
import { PageHeader } from '../../components/PageHeader';
import { StatusBadge } from '../../components/StatusBadge';
import { absolute } from '../../components/TimeAgo';
import { stateOf } from './timeline';
import { VideoPlayer } from './VideoPlayer';
import styles from './Recording.module.css';

/** The video of a session: its facts, its verification and its player. */
export function SessionVideoPage() {
  const { sessionId = '' } = useParams();
  const { data: video, error } = useQuery(sessionVideoQuery(sessionId));
  if (isGone(error))
    return (
      <EmptyState icon={IconDatabaseOff} title={t`There is no such video`}>
        {messageOf(error)} <Trans>Videos are deleted some time after the end of their session.</Trans>
      </EmptyState>
    );
  if (!video) return error ? <StaleBanner error={error} hasData={false} /> : <Skeleton className={styles.page} />;
  return <Video video={video} />;
}

function Video({ video }: { video: SessionVideo }) {
  const viewing = useMutation({
    mutationFn: () => viewSessionVideo(video.session_id),
    onError: (error) => showError(t`Not opened`, error),
  });
  const verification = useMutation({
    mutationFn: () => verifySessionVideo(video.session_id),
    onError: (error) => showError(t`Not verified`, error),
  });
  return (
    <>
      <PageHeader
        title={t`${{ workspace: video.image_friendly_name }} of ${{ user: video.username }}`}
        actions={
          <>
            <SessionLink sessionId={video.session_id} />
            <Button
              variant="default"
              leftSection={<IconShieldCheck size={16} aria-hidden />}
              loading={verification.isPending}
              onClick={() => verification.mutate()}
            >
              <Trans>Verify</Trans>
            </Button>
          </>
        }
      >
        <StatusBadge status={stateOf(video)} /> {absolute(video.begun)} – {absolute(video.latest)} ·{' '}
        {shortDuration(video.duration_ms / 1000)} ·{' '}
        {plural({ count: video.segments }, { one: '# segment', other: '# segments' })} ({bytes(video.size_bytes)})
      </PageHeader>
      {verification.data && <Result {...verification.data} />}
      {viewing.data ? (
        <Player sessionId={video.session_id} {...viewing.data} />
      ) : (
        <EmptyState
          icon={IconPlayerPlay}
          title={t`The video is not open`}
          action={
            <Button loading={viewing.isPending} onClick={() => viewing.mutate()}>
              <Trans>View the video</Trans>
            </Button>
          }
        >
          <Trans>Viewing is an event of the audit, with your name.</Trans>
        </EmptyState>
      )}
    </>
  );
}

/** The link to the session, if it still exists and the user may view it. */
function SessionLink({ sessionId }: { sessionId: string }) {
  const allowed = useAllowed();
  const { data } = useQuery({ ...sessionQuery(sessionId, { follow: false }), enabled: allowed('sessions_view') });
  if (!data) return null;
  return (
    <Button component={Link} to={`/admin/sessions/${sessionId}`} variant="default">
      <Trans>Session</Trans>
    </Button>
  );
}

function Player(viewing: ComponentProps<typeof VideoPlayer>) {
  if (viewing.segments.some(({ is_lost: isLost }) => !isLost)) return <VideoPlayer {...viewing} />;
  return (
    <EmptyState icon={IconMovieOff} title={t`The video is not stored`}>
      <Trans>
        The video is not part of the restored backup, or its segments were removed. Verify the video to see which
        segments are missing.
      </Trans>
    </EmptyState>
  );
}

function Result({
  ok,
  problems,
  segments,
  ended,
}: {
  ok: boolean;
  problems: string[];
  segments: number;
  ended: string | null;
}) {
  if (ok)
    return (
      <Alert color="accent" role="status" className={styles.verdict} title={t`The video is unchanged`}>
        {ended ? (
          <Trans>
            <Plural value={segments} one="# segment" other="# segments" />: none is missing or changed.
          </Trans>
        ) : (
          <Trans>
            <Plural value={segments} one="# segment" other="# segments" />: none is changed so far. The session runs.
          </Trans>
        )}
      </Alert>
    );
  return (
    <Alert color="red" role="alert" className={styles.verdict} title={t`The video is not complete or was changed`}>
      <List size="sm">
        {problems.map((problem) => (
          <List.Item key={problem}>
            <Text size="sm">{problem}</Text>
          </List.Item>
        ))}
      </List>
    </Alert>
  );
}
