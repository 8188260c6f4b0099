import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Suspense } from 'react';
import { Navigate, Outlet, Route, Routes, useLocation } from 'react-router';
import { MeContext, meQuery } from '../api/auth';
import { useBranding } from '../api/branding';
import { useLiveQueries } from '../api/live';
import { StaleBanner, Waiting } from '../components/feedback';
import { lazily } from '../components/lazily';
import { Login } from '../pages/Login';
import { frameOf, type Place, PlaceContext, PLACES } from '../places';
import { NotFound } from './NotFound';
import { UserLayout } from './UserLayout';
import styles from './App.module.css';

const AdminLayout = lazily(() => import('./AdminLayout'), 'AdminLayout');
const ConnectPage = lazily<'ConnectPage', { hash: string }>(
  () => import('../pages/session/ConnectPage'),
  'ConnectPage',
);
const FirstFactor = lazily(() => import('./FirstFactor'), 'FirstFactor');
const FirstPassword = lazily(() => import('./PasswordForm'), 'FirstPassword');

/** Every address of the console. */
export function App() {
  const { hash } = useLocation();
  return (
    <Suspense fallback={<Waiting />}>
      {hash.startsWith('#/connect/') ? <ConnectPage hash={hash} /> : <Pages />}
    </Suspense>
  );
}

function Pages() {
  return (
    <Routes>
      {routesIn('public')}
      <Route element={<LoggedIn />}>
        {routesIn('bare')}
        <Route element={<UserLayout />}>
          {routesIn('header')}
          <Route path="*" element={<NotFound />} />
        </Route>
        <Route element={<AdminLayout />}>
          {routesIn('admin')}
          <Route path="/admin/*" element={<NotFound />} />
        </Route>
      </Route>
    </Routes>
  );
}

function routesIn(frame: Place['frame']) {
  return PLACES.filter((place) => frameOf(place) === frame).flatMap((place) => {
    const { path, page: Page, also = [] } = place;
    const page = (
      <PlaceContext value={place}>
        <Page />
      </PlaceContext>
    );
    return [
      <Route key={path} path={path} element={page} />,
      ...also.map((address) => <Route key={address} path={address} element={<Navigate to={path} replace />} />),
    ];
  });
}

/** The log-in form at any address, until a user is logged in. */
function LoggedIn() {
  useBranding(); // loaded together with the user
  const { data: me, error } = useQuery(meQuery);
  if (me === undefined)
    return error ? (
      <div className={styles.failed}>
        <StaleBanner error={error} hasData={false} />
      </div>
    ) : (
      <Waiting />
    );
  if (me === null) return <Login />;
  if (me.password_change_required) return <FirstPassword />;
  if (me.second_factor_required) return <FirstFactor />;
  return (
    <MeContext value={me}>
      <Live />
    </MeContext>
  );
}

function Live() {
  useLiveQueries(useQueryClient());
  return <Outlet />;
}
