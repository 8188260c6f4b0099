import { Anchor, Badge, Button, Group, Stack, Text, Tooltip } from '@mantine/core';
import { IconCheck, IconPlus, IconRefresh } from '@tabler/icons-react';
import { Link } from 'react-router';
import { updateFromCatalogue } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { CatalogueEntry, Image } from '../../../api/types';
import { bytes, counted, milliseconds } from '../../../components/format';
import { ImageIcon } from '../../../components/ImageIcon';
import { PullState } from '../../../components/PullState';
import { useAction } from '../../../components/useAction';
import styles from './Catalogue.module.css';

interface Props {
  entry: CatalogueEntry;
  /** The workspace that was created from it. */
  image: Image | undefined;
  onAdd: () => void;
}

/** One entry of the catalogue, with its state in this deployment and the button that adds it. */
export function CatalogueCard({ entry, image, onAdd }: Props) {
  return (
    <div className={styles.card} role="listitem" data-testid={`entry-${entry.name}`}>
      <Group wrap="nowrap" align="flex-start" gap="md">
        <ImageIcon name={entry.friendly_name} src={entry.picture_url} size={64} />
        <Stack gap={2} className={styles.words}>
          <p className={styles.name}>{entry.friendly_name}</p>
          <Text size="sm" className="dimmed" lineClamp={3}>
            {entry.description}
          </Text>
        </Stack>
      </Group>
      <Group gap={6}>
        {entry.source && (
          <Badge variant="outline" color="gray" className={styles.source}>
            {entry.source}
          </Badge>
        )}
        {entry.categories.map((category) => (
          <Badge key={category} variant="default">
            {category}
          </Badge>
        ))}
      </Group>
      <Facts entry={entry} />
      {image && <Arrival image={image} />}
      <Actions entry={entry} image={image} onAdd={onAdd} />
    </div>
  );
}

function Facts({ entry: { size_bytes, first_frame_ms } }: { entry: CatalogueEntry }) {
  const facts = [
    size_bytes === null ? null : bytes(size_bytes),
    first_frame_ms === null ? null : `starts in ${milliseconds(first_frame_ms)}`,
  ].filter(Boolean);
  return (
    <Tooltip
      label="The size of the image, and the median duration of the latest starts in this deployment"
      disabled={facts.length === 0}
      openDelay={400}
    >
      <Text size="xs" className={`dimmed number ${styles.facts}`}>
        {facts.join(' · ')}
      </Text>
    </Tooltip>
  );
}

/** The Agents that have the image, and the progress or the error of the other Agents. */
function Arrival({ image: { agents } }: { image: Image }) {
  const having = agents.filter(({ state }) => state === 'present').length;
  if (agents.length > 0 && having === agents.length)
    return (
      <Text size="xs" className="dimmed">
        on {counted(having, 'Agent')}
      </Text>
    );
  return (
    <Stack gap={4} aria-live="polite">
      {agents.length === 0 && (
        <Text size="xs" className="dimmed">
          Waiting for an Agent to check the image
        </Text>
      )}
      {agents.map((each) => (
        <div key={each.agent_id}>
          <Group gap="xs" wrap="nowrap" justify="space-between">
            <Text size="xs" truncate>
              {each.hostname}
            </Text>
            <PullState pull={each} label={`Image on ${each.hostname}`} />
          </Group>
          {each.error && (
            <Text size="xs" className={`anywhere ${styles.failure}`}>
              {each.error}
            </Text>
          )}
        </div>
      ))}
    </Stack>
  );
}

function Actions({ entry, image, onAdd }: Props) {
  const allowed = useAllowed();
  const update = useAction(
    () => updateFromCatalogue(entry.name),
    ['catalogue', 'images', 'launcher'],
    `${entry.friendly_name} was not updated`,
  );
  return (
    <Group justify="space-between" gap="xs" className={styles.actions}>
      {entry.installed ? (
        <Group gap={6}>
          <IconCheck size={16} color="var(--gr-text-muted)" aria-hidden />
          <Text size="sm">
            Added as{' '}
            <Anchor component={Link} to={`/admin/workspaces/${entry.image_id}`} underline="always">
              {image?.friendly_name ?? entry.friendly_name}
            </Anchor>
          </Text>
        </Group>
      ) : (
        <span />
      )}
      {entry.update_available && allowed('images_modify') && (
        <Tooltip label="Staged sessions are replaced one at a time. Sessions with a user are not changed">
          <Button
            size="compact-sm"
            variant="light"
            leftSection={<IconRefresh size={14} aria-hidden />}
            loading={update.isPending}
            aria-label={`Update ${entry.friendly_name}`}
            onClick={() => update.mutate()}
          >
            Update
          </Button>
        </Tooltip>
      )}
      {!entry.installed && allowed('images_create') && (
        <Button
          size="compact-md"
          leftSection={<IconPlus size={16} aria-hidden />}
          aria-label={`Add ${entry.friendly_name}`}
          onClick={onAdd}
        >
          Add
        </Button>
      )}
    </Group>
  );
}
