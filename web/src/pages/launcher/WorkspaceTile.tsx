import { Badge, Group, Loader, Paper, Stack, Text, Tooltip, VisuallyHidden } from '@mantine/core';
import { IconBolt } from '@tabler/icons-react';
import type { LauncherImage } from '../../api/types';
import { ImageIcon } from '../../components/ImageIcon';
import { textIn } from '../../components/tones';

interface Props {
  image: LauncherImage;
  busy: boolean;
  disabled: boolean;
  onLaunch: () => void;
}

/** One workspace; pressing it starts a session. */
export function WorkspaceTile({ image, busy, disabled, onLaunch }: Props) {
  return (
    <Paper
      withBorder
      className="surface tile"
      component="button"
      type="button"
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
          {busy ? <Loader size="sm" /> : image.ready && <ReadyNow />}
        </Group>
        <div>
          <Text fw={650}>
            <VisuallyHidden>Launch </VisuallyHidden>
            {image.friendly_name}
          </Text>
          <Text size="sm" c="dimmed" lineClamp={2}>
            {image.description || image.categories.join(', ') || 'Desktop in your browser'}
          </Text>
        </div>
      </Stack>
    </Paper>
  );
}

function ReadyNow() {
  return (
    <Tooltip label="Already running and waiting for you">
      <Badge
        variant="light"
        leftSection={<IconBolt size={12} aria-hidden />}
        styles={{ label: { color: textIn('teal') } }}
      >
        Ready now
      </Badge>
    </Tooltip>
  );
}
