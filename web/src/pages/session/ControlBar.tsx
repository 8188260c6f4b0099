import { ActionIcon, Group, Indicator, Paper, Text, Tooltip } from '@mantine/core';
import { useDisclosure, useFullscreenDocument } from '@mantine/hooks';
import {
  IconArrowBackUp,
  IconClipboard,
  IconMaximize,
  IconMinimize,
  IconTrash,
  type TablerIcon,
} from '@tabler/icons-react';
import { useEffect, useState } from 'react';
import { useNavigate } from 'react-router';
import { Confirm } from '../../components/ConfirmButton';
import { ClipboardPanel } from './ClipboardPanel';
import type { FramePage } from './useFramePage';

/** How long the bar stays in full view after the desktop has opened. */
const SHOWN_MS = 6000;

interface Props {
  page: FramePage;
  onDelete: () => Promise<unknown>;
}

/** Leave, full screen, clipboard, delete. Tucked away at the top edge until the pointer or the keyboard comes. */
export function ControlBar({ page, onDelete }: Props) {
  const navigate = useNavigate();
  const { fullscreen, toggle } = useFullscreenDocument();
  const [panel, { toggle: togglePanel, close }] = useDisclosure(false);
  const [fresh, setFresh] = useState(true);
  useEffect(() => {
    const timer = setTimeout(() => setFresh(false), SHOWN_MS);
    return () => clearTimeout(timer);
  }, []);
  return (
    <>
      <Paper
        component="nav"
        aria-label="Session tools"
        withBorder
        px="sm"
        py={6}
        shadow="md"
        className={`surface control-bar ${fresh || panel ? '' : 'tucked'}`}
      >
        <Group gap={6} wrap="nowrap">
          <Tool
            label="Leave (the session goes on)"
            name="Leave"
            icon={IconArrowBackUp}
            onClick={() => void navigate('/')}
          />
          <Tool
            label={fullscreen ? 'Leave full screen' : 'Full screen'}
            icon={fullscreen ? IconMinimize : IconMaximize}
            onClick={() => void toggle()}
          />
          <Tool label="Clipboard" icon={IconClipboard} onClick={togglePanel} expanded={panel} />
          <Confirm
            title="Delete this session?"
            action="Delete"
            trigger={(open) => <Tool label="Delete the session" name="Delete" icon={IconTrash} onClick={open} />}
            onConfirm={onDelete}
          >
            The session ends and everything in it that was not saved elsewhere is lost.
          </Confirm>
          <Quality page={page} />
        </Group>
      </Paper>
      {panel && <ClipboardPanel page={page} onClose={close} />}
    </>
  );
}

interface ToolProps {
  label: string;
  name?: string;
  icon: TablerIcon;
  onClick: () => void;
  expanded?: boolean;
}

function Tool({ label, name, icon: Icon, onClick, expanded }: ToolProps) {
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" aria-label={name ?? label} onClick={onClick} aria-expanded={expanded}>
        <Icon size={18} color="var(--mantine-color-text)" />
      </ActionIcon>
    </Tooltip>
  );
}

/** State of the stream as a dot, with the measured delay beside it. */
function Quality({ page }: { page: FramePage }) {
  const colour = page.state === 'connected' ? 'teal' : page.state === 'silent' ? 'gray' : 'yellow';
  const label = page.state === 'silent' ? 'This session does not report its connection' : `Stream ${page.state}`;
  return (
    <Tooltip label={label}>
      <Group gap={10} wrap="nowrap" px={6} role="status" aria-label={label}>
        <Indicator inline processing={colour === 'yellow'} color={colour} size={10} position="middle-center">
          <span style={{ width: 10, height: 10, display: 'block' }} />
        </Indicator>
        {page.latencyMs !== null && (
          <Text size="xs" className="number nowrap">
            {Math.round(page.latencyMs)} ms
          </Text>
        )}
      </Group>
    </Tooltip>
  );
}
