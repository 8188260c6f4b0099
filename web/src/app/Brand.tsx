import { t } from '@lingui/core/macro';
import { Link } from 'react-router';
import { useBranding } from '../api/branding';
import styles from './HeaderBar.module.css';
import { Logo } from './Mark';

/** The logo and the name of the installation, as a link to the launcher. */
export function Brand() {
  const { name } = useBranding();
  return (
    <Link to="/" className={styles.brand} aria-label={t`${name}, workspaces`}>
      <Logo size={24} />
      <span className={styles.name}>{name}</span>
    </Link>
  );
}
