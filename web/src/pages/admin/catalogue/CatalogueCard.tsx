import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Badge, Button, Group, Stack, Text, Tooltip } from '@mantine/core';
import { IconCheck, IconPlus, IconRefresh } from '@tabler/icons-react';
import { Link } from 'react-router';
import { updateFromCatalogue } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { CatalogueEntry, Image } from '../../../api/types';
import { bytes, milliseconds } from '../../../components/format';
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
  const duration = first_frame_ms === null ? null : milliseconds(first_frame_ms);
  const facts = [
    size_bytes === null ? null : bytes(size_bytes),
    duration === null ? null : t`starts in ${duration}`,
  ].filter(Boolean);
  return (
    <Tooltip
      label={t`The size of the image, and the median duration of the latest starts in this deployment`}
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
        {t`on ${plural(having, { one: '# Agent', other: '# Agents' })}`}
      </Text>
    );
  return (
    <Stack gap={4} aria-live="polite">
      {agents.length === 0 && (
        <Text size="xs" className="dimmed">
          <Trans>Waiting for an Agent to check the image</Trans>
        </Text>
      )}
      {agents.map((each) => {
        const { hostname } = each;
        return (
          <div key={each.agent_id}>
            <Group gap="xs" wrap="nowrap" justify="space-between">
              <Text size="xs" truncate>
                {hostname}
              </Text>
              <PullState pull={each} label={t`Image on ${hostname}`} />
            </Group>
            {each.error && (
              <Text size="xs" className={`anywhere ${styles.failure}`}>
                {each.error}
              </Text>
            )}
          </div>
        );
      })}
    </Stack>
  );
}

function Actions({ entry, image, onAdd }: Props) {
  const allowed = useAllowed();
  const { friendly_name: name } = entry;
  const workspace = image?.friendly_name ?? name;
  const update = useAction(
    () => updateFromCatalogue(entry.name),
    ['catalogue', 'images', 'launcher'],
    t`${name} was not updated`,
  );
  return (
    <Group justify="space-between" gap="xs" className={styles.actions}>
      {entry.installed ? (
        <Group gap={6}>
          <IconCheck size={16} color="var(--gr-text-muted)" aria-hidden />
          <Text size="sm">
            <Trans>
              Added as{' '}
              <Anchor component={Link} to={`/admin/workspaces/${entry.image_id}`} underline="always">
                {workspace}
              </Anchor>
            </Trans>
          </Text>
        </Group>
      ) : (
        <span />
      )}
      {entry.update_available && allowed('images_modify') && (
        <Tooltip label={t`Staged sessions are replaced one at a time. Sessions with a user are not changed`}>
          <Button
            size="compact-sm"
            variant="light"
            leftSection={<IconRefresh size={14} aria-hidden />}
            loading={update.isPending}
            aria-label={t`Update ${name}`}
            onClick={() => update.mutate()}
          >
            <Trans>Update</Trans>
          </Button>
        </Tooltip>
      )}
      {!entry.installed && allowed('images_create') && (
        <Button
          size="compact-md"
          leftSection={<IconPlus size={16} aria-hidden />}
          aria-label={t`Add ${name}`}
          onClick={onAdd}
        >
          <Trans>Add</Trans>
        </Button>
      )}
    </Group>
  );
}
