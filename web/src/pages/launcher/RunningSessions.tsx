import { Button, Group, Paper, SimpleGrid, Stack, Text, Title } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { Link } from 'react-router';
import { deleteSession } from '../../api/queries';
import type { LauncherImage, Session } from '../../api/types';
import { Confirm } from '../../components/ConfirmButton';
import { ImageIcon } from '../../components/ImageIcon';
import { StatusBadge } from '../../components/StatusBadge';
import { TimeAgo } from '../../components/TimeAgo';

/** The person's sessions: go on with one, or end it. */
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
  const queries = useQueryClient();
  const name = session.image_friendly_name;
  const leaving = session.status === 'deleting';
  return (
    <Paper withBorder p="md" radius="md" className="surface" data-session={session.session_id}>
      <Stack gap="md">
        <Group wrap="nowrap" align="flex-start">
          <ImageIcon name={name} src={image?.image_src} />
          <Stack gap={2} style={{ flex: 1, minWidth: 0 }}>
            <Group justify="space-between" wrap="nowrap">
              <Text fw={650} truncate>
                {name}
              </Text>
              <StatusBadge status={session.operational_status} />
            </Group>
            <Text size="sm" c="dimmed">
              started <TimeAgo time={session.assigned ?? session.created} />
            </Text>
          </Stack>
        </Group>
        <Group grow gap="sm">
          {leaving ? (
            <Button size="sm" disabled>
              Resume
            </Button>
          ) : (
            <Button component={Link} to={`/session/${session.session_id}`} size="sm" aria-label={`Resume ${name}`}>
              Resume
            </Button>
          )}
          <Confirm
            title={`Delete ${name}?`}
            action="Delete"
            trigger={(open) => (
              <Button size="sm" variant="default" onClick={open} disabled={leaving} aria-label={`Delete ${name}`}>
                Delete
              </Button>
            )}
            onConfirm={async () => {
              await deleteSession(session.session_id);
              await queries.invalidateQueries({ queryKey: ['sessions'] });
            }}
          >
            The session ends and everything in it that was not saved elsewhere is lost.
          </Confirm>
        </Group>
      </Stack>
    </Paper>
  );
}
