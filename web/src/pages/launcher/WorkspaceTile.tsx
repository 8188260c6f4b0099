import { ActionIcon, Badge, Group, Loader, Paper, Stack, Text, Tooltip, VisuallyHidden } from '@mantine/core';
import { IconAdjustments, IconBolt } from '@tabler/icons-react';
import type { LauncherImage } from '../../api/types';
import { shortDuration } from '../../components/clock';
import { ImageIcon } from '../../components/ImageIcon';
import { textIn } from '../../components/tones';

interface Props {
  image: LauncherImage;
  busy: boolean;
  disabled: boolean;
  onLaunch: () => void;
  /** Opens the launch options; undefined if there are none. */
  onChoose: (() => void) | undefined;
}

/** One workspace; pressing it starts a session. */
export function WorkspaceTile({ image, busy, disabled, onLaunch, onChoose }: Props) {
  return (
    <div style={{ position: 'relative', height: '100%' }}>
      <Tile image={image} busy={busy} disabled={disabled} onLaunch={onLaunch} />
      {onChoose && (
        <Tooltip label="Launch with options">
          <ActionIcon
            variant="subtle"
            color="gray"
            pos="absolute"
            right={8}
            bottom={8}
            disabled={disabled}
            aria-label={`Launch ${image.friendly_name} with options`}
            onClick={onChoose}
          >
            <IconAdjustments size={18} color="var(--mantine-color-text)" aria-hidden />
          </ActionIcon>
        </Tooltip>
      )}
    </div>
  );
}

function Tile({ image, busy, disabled, onLaunch }: Omit<Props, 'onChoose'>) {
  return (
    <Paper
      withBorder
      className="surface tile"
      component="button"
      type="button"
      h="100%"
      p="md"
      radius="md"
      onClick={onLaunch}
      aria-disabled={disabled}
      aria-busy={busy}
      disabled={disabled}
      data-testid={`launch-${image.friendly_name}`}
    >
      <Stack gap="sm" h="100%">
        <Group justify="space-between" align="flex-start" wrap="nowrap">
          <ImageIcon name={image.friendly_name} src={image.image_src} />
          {busy ? <Loader size="sm" /> : image.ready ? <ReadyNow /> : <Expected image={image} />}
        </Group>
        <div>
          <Text fw={650}>
            <VisuallyHidden>Launch </VisuallyHidden>
            {image.friendly_name}
          </Text>
          <Text size="sm" c="dimmed" lineClamp={2} pr="lg">
            {image.description || image.categories.join(', ') || 'Desktop in your browser'}
          </Text>
          {image.reason && (
            <Text size="xs" mt={4} pr="lg">
              {image.reason}
            </Text>
          )}
        </div>
      </Stack>
    </Paper>
  );
}

/** The expected duration of a start, from the latest ones, or the notice that none is possible now. */
function Expected({ image }: { image: LauncherImage }) {
  if (image.expected_s === null)
    return (
      <Badge variant="light" color="yellow" styles={{ label: { color: textIn('warning') } }}>
        Not possible now
      </Badge>
    );
  return (
    <Text size="xs" c="dimmed" className="number">
      starts in about {shortDuration(Math.max(1, Math.round(image.expected_s)))}
    </Text>
  );
}

function ReadyNow() {
  return (
    <Tooltip label="Already running and waiting for you">
      <Badge
        variant="light"
        leftSection={<IconBolt size={12} aria-hidden />}
        styles={{ label: { color: textIn('ready') } }}
      >
        Ready now
      </Badge>
    </Tooltip>
  );
}
