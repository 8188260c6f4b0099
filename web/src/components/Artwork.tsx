import { IconBrowser, IconDeviceDesktop, IconTerminal2, type TablerIcon } from '@tabler/icons-react';
import { useState } from 'react';
import styles from './Artwork.module.css';
import { type Kind, kindOf } from './workspaceKind';

const ICONS: Record<Kind, TablerIcon> = { browser: IconBrowser, terminal: IconTerminal2, desktop: IconDeviceDesktop };

interface Props {
  /** The name of the workspace. */
  name: string;
  /** The address of a picture on this server. Other addresses are not loaded. */
  src: string | null | undefined;
}

/** The picture of a workspace in its full width, or a drawn one if it cannot be shown. */
export function Artwork({ name, src }: Props) {
  const [broken, setBroken] = useState<string | null>(null);
  if (isShown(src) && src !== broken)
    return <img src={src} alt="" className={styles.art} onError={() => setBroken(src)} />;
  const kind = kindOf(name);
  const Icon = ICONS[kind];
  return (
    <span className={styles.art} data-kind={kind}>
      <Icon size={56} stroke={1.25} aria-hidden />
    </span>
  );
}

/** Whether the console loads pictures of this address. */
export function isShown(src: string | null | undefined): src is string {
  return src?.startsWith('/') ?? false;
}
