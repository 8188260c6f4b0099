import { Button, Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { Link, useNavigate } from 'react-router';
import { orderSession } from '../../api/actions';
import type { LauncherImage, Session } from '../../api/types';
import { shortDuration, useClock } from '../../components/clock';
import { Confirm } from '../../components/Confirm';
import { ImageIcon } from '../../components/ImageIcon';
import { Screenshot } from '../../components/Screenshot';
import { SessionMenu } from '../../components/SessionMenu';
import { keptOf, ownLook, useSessionOrder } from '../../components/sessionActions';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';
import { withoutSettings } from '../../components/titles';

const THUMBNAIL_S = 60;

/** The sessions of the user, with buttons to open, stop, pause or end them. */
export function RunningSessions({ sessions, images }: { sessions: Session[]; images: LauncherImage[] }) {
  return (
    <section aria-label="Your sessions">
      <Title order={2} fz={16} mb="sm">
        Your sessions
      </Title>
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
        {sessions.map((session) => (
          <SessionCard
            key={session.session_id}
            session={session}
            image={images.find((image) => image.image_id === session.image_id)}
          />
        ))}
      </SimpleGrid>
    </section>
  );
}

function SessionCard({ session, image }: { session: Session; image: LauncherImage | undefined }) {
  const name = session.image_friendly_name;
  return (
    <Paper withBorder p="md" radius="md" className="surface" data-session={session.session_id}>
      <Stack gap="md">
        <Group wrap="nowrap" align="flex-start">
          {session.status === 'running' ? (
            <div style={{ maxWidth: 128, flexShrink: 0 }}>
              <Screenshot
                sessionId={session.session_id}
                alt={`Screen of ${name}`}
                width={256}
                renewAfter={THUMBNAIL_S}
                fallback={<ImageIcon name={name} src={image?.image_src} />}
              />
            </div>
          ) : (
            <ImageIcon name={name} src={image?.image_src} />
          )}
          <Stack gap={2} style={{ flex: 1, minWidth: 0 }}>
            <Group justify="space-between" wrap="nowrap" align="flex-start">
              <Text fw={650} truncate>
                {name}
              </Text>
              <StatusBadge status={session.operational_status} />
            </Group>
            <Text size="sm" c="dimmed">
              started <TimeAgo time={session.assigned ?? session.created} />
            </Text>
            <Fate session={session} />
          </Stack>
        </Group>
        <Buttons session={session} name={name} />
      </Stack>
    </Paper>
  );
}

const VERBS: Record<string, string> = { delete: 'Ends', stop: 'Stops', pause: 'Pauses' };

/** The next automatic action for the session, or the reason why it was stopped or paused. */
function Fate({ session }: { session: Session }) {
  const { expires, expires_action: action, time_limit_ends: limit, stopped_reason: why } = session;
  const left = useClock((now) => shortDuration((Date.parse(expires ?? '') - now) / 1000));
  if (why)
    return (
      <Text size="xs" c="dimmed">
        {withoutSettings(why)}
      </Text>
    );
  if (!expires || !action) return null;
  return (
    <Text size="xs" c="dimmed" className="number">
      {VERBS[action]} in {left}
      {expires === limit ? '' : ' unless opened'}
      {action === 'delete' ? `. ${keptOf(session)}` : ''}
    </Text>
  );
}

function Buttons({ session, name }: { session: Session; name: string }) {
  const may = (action: Session['actions'][number]) => session.actions.includes(action);
  const leaving = session.status === 'deleting';
  const open = session.status === 'failed' ? 'What happened' : 'Open';
  return (
    <Group gap="sm" wrap="nowrap">
      {may('resume') ? (
        <ResumeButton session={session} name={name} />
      ) : leaving ? (
        <Button size="sm" flex={1} disabled>
          Open
        </Button>
      ) : (
        <Button
          component={Link}
          to={`/session/${session.session_id}`}
          size="sm"
          flex={1}
          aria-label={`${open} ${name}`}
        >
          {open}
        </Button>
      )}
      {may('stop') && <StopButton session={session} name={name} />}
      <SessionMenu session={session} name={name} without={['stop', 'resume']} />
    </Group>
  );
}

/** Resumes a stopped or paused session and opens it. */
function ResumeButton({ session, name }: { session: Session; name: string }) {
  const navigate = useNavigate();
  const order = useSessionOrder(session);
  return (
    <Button
      size="sm"
      flex={1}
      aria-label={`Resume ${name}`}
      loading={order.isPending}
      onClick={() => order.mutate('resume', { onSuccess: () => void navigate(`/session/${session.session_id}`) })}
    >
      Resume
    </Button>
  );
}

/** Stops the session, which keeps its files. */
function StopButton({ session, name }: { session: Session; name: string }) {
  const { label, warning } = ownLook('stop', session);
  return (
    <Confirm
      title={`${label} ${name}?`}
      action={label}
      color="accent"
      trigger={(open) => (
        <Button size="sm" flex={1} variant="default" onClick={open} aria-label={`${label} ${name}`}>
          {label}
        </Button>
      )}
      onConfirm={() => orderSession(session, 'stop')}
      touched={['sessions']}
    >
      {warning}
    </Confirm>
  );
}
