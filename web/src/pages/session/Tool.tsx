import { ActionIcon, Tooltip } from '@mantine/core';
import type { TablerIcon } from '@tabler/icons-react';

interface Props {
  label: string;
  /** The short name for screen readers; without it the label. */
  name?: string;
  icon: TablerIcon;
  onClick: () => void;
  expanded?: boolean;
}

/** A button of the bar of a session. */
export function Tool({ label, name, icon: Icon, onClick, expanded }: Props) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" aria-label={name ?? label} onClick={onClick} aria-expanded={expanded}>
        <Icon size={18} color="var(--mantine-color-text)" />
      </ActionIcon>
    </Tooltip>
  );
}
