import { useBranding } from '../api/branding';
import styles from './Mark.module.css';

/** The logo of the installation, or the mark of Greenroom. `size`: the height in pixels. */
export function Logo({ size }: { size: number }) {
  const { logo_url } = useBranding();
  return logo_url ? <img src={logo_url} height={size} className={styles.logo} alt="" /> : <Mark size={size} />;
}

/** The mark of Greenroom: a door that stands open. It is drawn on a grid of 16 pixels, as `favicon.svg`. */
function Mark({ size }: { size: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 16 16" aria-hidden>
      <rect width="16" height="16" rx="4" fill="var(--gr-text)" />
      <path d="M4 13V3h8v10" fill="none" stroke="var(--gr-surface)" strokeWidth="1.5" strokeLinejoin="round" />
      <path d="M4 3l5 2v10l-5-2z" fill="var(--gr-surface)" />
    </svg>
  );
}
