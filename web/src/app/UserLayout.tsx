import { Outlet, useLocation } from 'react-router';
import { ErrorBoundary } from './ErrorBoundary';
import { Frame } from './Frame';
import { HeaderBar } from './HeaderBar';
import styles from './UserLayout.module.css';

/** Header and one page, without the administration's navigation. */
export function UserLayout() {
  const { pathname } = useLocation();
  return (
    <Frame header={<HeaderBar />}>
      <div className={styles.column}>
        <ErrorBoundary key={pathname}>
          <Outlet />
        </ErrorBoundary>
      </div>
    </Frame>
  );
}
