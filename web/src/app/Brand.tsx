import { Link } from 'react-router';
import styles from './HeaderBar.module.css';
import { Mark } from './Mark';

export function Brand() {
  return (
    <Link to="/" className={styles.brand} aria-label="Greenroom, workspaces">
      <Mark size={24} />
      <span className={styles.name}>Greenroom</span>
    </Link>
  );
}
