import { t } from '@lingui/core/macro';
import type { ReactNode } from 'react';
import { Link, useLocation } from 'react-router';
import { useMe } from '../api/auth';
import { useChosenTimes } from '../components/times';
import { useChosenDensity } from '../components/useDensity';
import { isAdministrator } from '../places';
import { AccountMenu } from './AccountMenu';
import { Brand } from './Brand';
import styles from './HeaderBar.module.css';
import { LiveBadge } from './LiveBadge';
import { SearchButton } from './palette/SearchButton';
import { SchemeButton } from './SchemeButton';

/** The bar at the top of all pages except the session page. `children` are shown before the name. */
export function HeaderBar({ children }: { children?: ReactNode }) {
  const me = useMe();
  useChosenDensity();
  useChosenTimes();
  const inAdmin = useLocation().pathname.startsWith('/admin');
  return (
    <div className={styles.bar}>
      <div className={styles.part}>
        {children}
        <Brand />
      </div>
      <div className={styles.part}>
        <SearchButton />
        <LiveBadge />
        {isAdministrator(me) && (
          <Link to={inAdmin ? '/' : '/admin'} className={styles.link}>
            {inAdmin ? t`Launcher` : t`Administration`}
          </Link>
        )}
        <SchemeButton />
        {me && <AccountMenu username={me.user.username} />}
      </div>
    </div>
  );
}
