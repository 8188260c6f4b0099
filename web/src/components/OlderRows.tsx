import { Button, Group } from '@mantine/core';

interface Props {
  /** Where older rows begin; nothing = there are none. */
  next: string | null | undefined;
  onShow: (next: string) => void;
}

/** Below a table of the newest rows: leads to older ones, while there are any. */
export function OlderRows({ next, onShow }: Props) {
  if (!next) return null;
  return (
    <Group justify="center">
      <Button size="compact-sm" variant="default" onClick={() => onShow(next)}>
        Show older rows
      </Button>
    </Group>
  );
}
