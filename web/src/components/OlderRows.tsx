import { Trans } from '@lingui/react/macro';
import { Button, Group } from '@mantine/core';

interface Props {
  /** The start of older rows; empty = there are none. */
  next: string | null | undefined;
  onShow: (next: string) => void;
}

/** The button below a table of the newest rows that shows older rows, if there are any. */
export function OlderRows({ next, onShow }: Props) {
  if (!next) return null;
  return (
    <Group justify="center">
      <Button size="compact-sm" variant="default" onClick={() => onShow(next)}>
        <Trans>Show older rows</Trans>
      </Button>
    </Group>
  );
}
