import { Button, Group, Paper, SimpleGrid, Text, Title } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from 'react-router';
import { sharedWithMeQuery } from '../../api/sharing';

/** The sessions that other users share with the user by name; nothing if there are none. */
export function SharedWithMe() {
  const { data } = useQuery(sharedWithMeQuery);
  if (!data?.length) return null;
  return (
    <section aria-label="Shared with you">
      <Title order={2} fz={16} mb="sm">
        Shared with you
      </Title>
      <SimpleGrid cols={{ base: 1, sm: 2, lg: 3 }} spacing="md">
        {data.map((share) => (
          <Paper key={share.share_id} withBorder p="md" radius="md" className="surface">
            <Group justify="space-between" wrap="nowrap">
              <div style={{ minWidth: 0 }}>
                <Text fw={650} truncate>
                  {share.image_friendly_name} of {share.owner}
                </Text>
                <Text size="sm" c="dimmed">
                  {share.access === 'control' ? 'With control' : 'View only'}
                </Text>
              </div>
              <Button variant="default" component={Link} to={share.connect_url}>
                Open
              </Button>
            </Group>
          </Paper>
        ))}
      </SimpleGrid>
    </section>
  );
}
