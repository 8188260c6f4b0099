import { Center, Loader } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Suspense } from 'react';
import { Navigate, Outlet, Route, Routes, useLocation } from 'react-router';
import { MeContext, meQuery } from '../api/auth';
import { useBranding } from '../api/branding';
import { useLiveQueries } from '../api/live';
import { StaleBanner } from '../components/feedback';
import { Login } from '../pages/Login';
import { ConnectPage } from '../pages/session/ConnectPage';
import { frameOf, lazily, type Place, PlaceContext, PLACES } from '../places';
import { FirstFactor } from './FirstFactor';
import { NotFound } from './NotFound';
import { FirstPassword } from './PasswordForm';
import { UserLayout } from './UserLayout';

const AdminLayout = lazily(() => import('./AdminLayout'), 'AdminLayout');

/** Every address of the console. */
export function App() {
  const { hash } = useLocation();
  if (hash.startsWith('#/connect/')) return <ConnectPage hash={hash} />;
  return (
    <Suspense fallback={<Waiting />}>
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
    </Suspense>
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
      <Center p="xl">
        <StaleBanner error={error} hasData={false} />
      </Center>
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

function Waiting() {
  return (
    <Center h="100vh">
      <Loader aria-label="Loading" />
    </Center>
  );
}
