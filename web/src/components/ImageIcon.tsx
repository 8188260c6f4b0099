import { ThemeIcon } from '@mantine/core';
import { useState } from 'react';
import { IconBrowser, IconDeviceDesktop, IconTerminal2, type TablerIcon } from '@tabler/icons-react';
import { type Kind, kindOf } from './workspaceKind';

const LOOKS: Record<Kind, [TablerIcon, string]> = {
  browser: [IconBrowser, 'accent'],
  terminal: [IconTerminal2, 'neutral'],
  desktop: [IconDeviceDesktop, 'staged'],
};

interface Props {
  name: string;
  /** The address of a picture on this server. Other addresses are not loaded. */
  src?: string | null | undefined;
  size?: number;
}

/** The picture of a workspace, from its recipe or uploaded, or an icon if it cannot be shown. */
export function ImageIcon({ name, src, size = 48 }: Props) {
  const [broken, setBroken] = useState<string | null>(null);
  if (src?.startsWith('/') && src !== broken)
    return (
      <img
        src={src}
        width={size}
        height={size}
        alt=""
        style={{ borderRadius: 10, objectFit: 'cover', flexShrink: 0 }}
        onError={() => setBroken(src)}
      />
    );
  const [Icon, color] = LOOKS[kindOf(name)];
  return (
    <ThemeIcon size={size} radius="md" variant="gradient" gradient={{ from: `${color}.9`, to: `${color}.7`, deg: 135 }}>
      <Icon size={size * 0.55} color="white" aria-hidden />
    </ThemeIcon>
  );
}
