import { useState } from 'react';
import { IconBrowser, IconDeviceDesktop, IconTerminal2, type TablerIcon } from '@tabler/icons-react';
import styles from './ImageIcon.module.css';
import type { Tone } from './tones';
import { type Kind, kindOf } from './workspaceKind';

const LOOKS: Record<Kind, [TablerIcon, Tone]> = {
  browser: [IconBrowser, 'neutral'],
  terminal: [IconTerminal2, 'neutral'],
  desktop: [IconDeviceDesktop, 'accent'],
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
      <img src={src} width={size} height={size} alt="" className={styles.picture} onError={() => setBroken(src)} />
    );
  const [Icon, tone] = LOOKS[kindOf(name)];
  return (
    <svg className={styles.drawn} data-tone={tone} width={size} height={size} viewBox="0 0 48 48" aria-hidden>
      <rect width="48" height="48" rx="8" />
      <Icon x={11} y={11} size={26} />
    </svg>
  );
}
