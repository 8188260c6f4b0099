import { ph, plural, t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { ActionIcon, Alert, Button, Group, Kbd, List, Paper, Skeleton, Slider, Text, Tooltip } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import {
  IconChevronLeft,
  IconChevronRight,
  IconDatabaseOff,
  IconDownload,
  IconInfoCircle,
  IconMovieOff,
} from '@tabler/icons-react';
import { useCallback, useEffect, useMemo } from 'react';
import { useLocation, useNavigate, useParams } from 'react-router';
import { useAllowed } from '../../api/auth';
import { isGone, messageOf } from '../../api/client';
import {
  deleteRecording,
  exportAddress,
  recordedRowsQuery,
  recordingQuery,
  type RecordedRow,
  type Recording,
} from '../../api/recordings';
import { Confirm } from '../../components/Confirm';
import { EmptyState, StaleBanner } from '../../components/feedback';
import { bytes } from '../../components/format';
import { PageHeader } from '../../components/PageHeader';
import { TimeAgo } from '../../components/TimeAgo';
import { ActionList } from './ActionList';
import { limitsOf, placeOf, shownAt, whyNoPicture } from './replay';
import { Screen } from './Screen';
import styles from './Recording.module.css';

/** `/recordings/<lease>#<number>`: what a program did with a lease, action by action. */
export function ReplayPage() {
  const { leaseId = '' } = useParams();
  const { data: recording, error } = useQuery(recordingQuery(leaseId));
  const found = useQuery({
    ...recordedRowsQuery({ lease_id: leaseId, rows: recording?.rows ?? 0 }),
    enabled: recording !== undefined,
  });
  if (isGone(error))
    return (
      <EmptyState icon={IconDatabaseOff} title={t`There is no such recording`}>
        {messageOf(error)}{' '}
        <Trans>Recordings are deleted some time after the end of their lease, and not every lease is recorded.</Trans>
      </EmptyState>
    );
  if (!recording) return error ? <StaleBanner error={error} hasData={false} /> : <Skeleton className={styles.page} />;
  return (
    <>
      <Heading recording={recording} />
      <StaleBanner error={error ?? found.error} hasData />
      {!found.data ? (
        <Skeleton className={styles.stage} />
      ) : found.data.length === 0 ? (
        <EmptyState icon={IconMovieOff} title={t`No actions yet`}>
          <Trans>Actions of the program, commands and files appear here shortly after they are done.</Trans>
        </EmptyState>
      ) : (
        <Replay recording={recording} rows={found.data} />
      )}
    </>
  );
}

function Heading({ recording }: { recording: Recording }) {
  const allowed = useAllowed();
  const navigate = useNavigate();
  const { image_friendly_name: workspace, username: user, holder, rows, pictures } = recording;
  const actions = plural(rows, { one: '# action', other: '# actions' });
  const pictureCount = plural(pictures, { one: '# picture', other: '# pictures' });
  return (
    <PageHeader
      title={user ? t`Actions on ${user}’s ${workspace}` : t`Actions on ${workspace}`}
      actions={
        <>
          <Button
            component="a"
            href={exportAddress(recording.lease_id)}
            download
            variant="default"
            leftSection={<IconDownload size={16} aria-hidden />}
          >
            <Trans context="verb">Export</Trans>
          </Button>
          {recording.ended && allowed('recordings_delete') && (
            <Confirm
              title={t`Delete this recording?`}
              action={t`Delete`}
              touched={['recordings']}
              onConfirm={async () => {
                await deleteRecording(recording.lease_id);
                await navigate('..', { relative: 'path' });
              }}
              trigger={(open) => (
                <Button color="red" variant="light" onClick={open}>
                  <Trans>Delete</Trans>
                </Button>
              )}
            >
              <Trans>
                <Plural value={rows} one="# action" other="# actions" /> and{' '}
                <Plural value={pictures} one="# picture" other="# pictures" /> are deleted for everybody.
              </Trans>
            </Confirm>
          )}
        </>
      }
    >
      {recording.ended ? (
        <Trans>
          Lease requested by {holder} <TimeAgo time={recording.begun} />
        </Trans>
      ) : (
        <Trans>
          Lease requested by {holder} <TimeAgo time={recording.begun} />, still recording
        </Trans>
      )}{' '}
      · {actions} · {pictureCount} ({bytes(recording.picture_bytes)})
    </PageHeader>
  );
}

function Replay({ recording, rows }: { recording: Recording; rows: RecordedRow[] }) {
  const { hash } = useLocation();
  const navigate = useNavigate();
  const place = placeOf(rows, hash);
  const last = rows.length - 1;
  const choose = useCallback(
    (wanted: number) => {
      const row = rows[Math.min(Math.max(wanted, 0), rows.length - 1)];
      if (row) void navigate({ hash: String(row.number) }, { replace: true });
    },
    [rows, navigate],
  );
  useArrows(rows, choose);
  const failed = useMemo(() => rows.flatMap((row, at) => (row.code ? [at] : [])), [rows]);
  const row = rows[place];
  if (!row) return null;
  const shown = shownAt(rows, place);
  const limits = limitsOf(recording, rows.length);
  const following = rows.slice(place + 1, place + 20).find(({ picture }) => picture) ?? null;
  const nextFailed = failed.find((at) => at > place) ?? failed[0];
  return (
    <>
      {limits.length > 0 && (
        <Alert variant="light" color="gray" className={styles.limits} icon={<IconInfoCircle aria-hidden />}>
          {limits.length === 1 ? (
            limits[0]
          ) : (
            <List size="sm">
              {limits.map((sentence) => (
                <List.Item key={sentence}>{sentence}</List.Item>
              ))}
            </List>
          )}
        </Alert>
      )}
      <div className="replay">
        <Paper withBorder className={`surface replay-stage ${styles.player}`}>
          <Screen
            leaseId={recording.lease_id}
            row={row}
            shown={shown}
            reason={whyNoPicture(row, shown, recording)}
            next={following}
          />
          <div role="status" className="replay-now">
            <Text className={styles.said}>{row.said}</Text>
            {row.error && (
              <Text size="sm" className={styles.failure}>
                {row.error}
              </Text>
            )}
            <Text size="sm" className="dimmed">
              {row.who ? t`By ${{ who: row.who }}.` : ''}
            </Text>
          </div>
          <Slider
            value={place}
            onChange={choose}
            min={0}
            max={Math.max(last, 1)}
            disabled={last === 0}
            label={null}
            thumbLabel={t`Action`}
            thumbProps={{
              'aria-valuetext': t`${{ number: row.number }} of ${{ count: recording.rows }}: ${{ action: row.said }}`,
            }}
            marks={failed.slice(0, MARKS).map((value) => ({ value }))}
            classNames={{ mark: 'replay-mark' }}
          />
          <Group justify="space-between">
            <Group gap="xs">
              <Step label={t`Previous action`} disabled={place === 0} onClick={() => choose(place - 1)}>
                <IconChevronLeft size={18} aria-hidden />
              </Step>
              <Step label={t`Next action`} disabled={place === last} onClick={() => choose(place + 1)}>
                <IconChevronRight size={18} aria-hidden />
              </Step>
              <Text size="sm" className="number">
                <Trans>
                  {ph({ number: row.number })} of {ph({ count: recording.rows })}
                </Trans>
              </Text>
              {nextFailed !== undefined && (
                <Button size="compact-sm" color="red" variant="light" onClick={() => choose(nextFailed)}>
                  {failed.length === 1
                    ? t`Show the error`
                    : plural({ count: failed.length }, { one: 'Next of # error', other: 'Next of # errors' })}
                </Button>
              )}
            </Group>
            <Text size="sm" className="dimmed" visibleFrom="sm">
              <Trans>
                <Kbd>←</Kbd> <Kbd>→</Kbd> one action, <Kbd>Home</Kbd> <Kbd>End</Kbd> first and last
              </Trans>
            </Text>
          </Group>
        </Paper>
        <ActionList rows={rows} begun={recording.begun} place={place} onChoose={choose} />
      </div>
    </>
  );
}

/** The maximum number of errors that the timeline shows. */
const MARKS = 200;

interface StepProps {
  label: string;
  disabled: boolean;
  onClick: () => void;
  children: React.ReactNode;
}

function Step({ label, disabled, onClick, children }: StepProps) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="default" size="lg" aria-label={label} disabled={disabled} onClick={onClick}>
        {children}
      </ActionIcon>
    </Tooltip>
  );
}

/** The arrow keys move between actions, except in elements that use these keys themselves. */
function useArrows(rows: RecordedRow[], choose: (place: number) => void): void {
  useEffect(() => {
    const pressed = (event: KeyboardEvent) => {
      const place = placeOf(rows, window.location.hash); // keys may arrive faster than the page is rendered
      const wanted: Record<string, number> = {
        ArrowLeft: place - 1,
        ArrowRight: place + 1,
        Home: 0,
        End: rows.length - 1,
      };
      const to = wanted[event.key];
      const typing = event.target instanceof Element && event.target.closest('input, textarea, select, [role=slider]');
      if (to === undefined || typing || event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey)
        return;
      event.preventDefault();
      choose(to);
    };
    document.addEventListener('keydown', pressed);
    return () => document.removeEventListener('keydown', pressed);
  }, [rows, choose]);
}
