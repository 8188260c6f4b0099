import { Center, Loader } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { lazy, Suspense } from 'react';
import { Outlet, Route, Routes, useLocation } from 'react-router';
import { MeContext, meQuery } from '../api/auth';
import { useLiveQueries } from '../api/live';
import { StaleBanner } from '../components/feedback';
import { Account } from '../pages/account/Account';
import { Login } from '../pages/Login';
import { Launcher } from '../pages/launcher/Launcher';
import { ConnectPage } from '../pages/session/ConnectPage';
import { SecondScreenPage } from '../pages/session/SecondScreenPage';
import { SessionPage } from '../pages/session/SessionPage';
import { WatchPage } from '../pages/session/WatchPage';
import { JoinPage } from '../pages/share/JoinPage';
import { AdminLayout } from './AdminLayout';
import { NotFound } from './NotFound';
import { FirstPassword } from './PasswordForm';
import { UserLayout } from './UserLayout';

// The administration is loaded when it is opened: people who only use desktops never fetch it.
const IMPORT_AGAIN_MS = 1000;
const admin = () => import('../pages/admin');
const adminOrAgain = () => admin().catch(() => new Promise((done) => setTimeout(done, IMPORT_AGAIN_MS)).then(admin));
const page = (name: keyof Awaited<ReturnType<typeof admin>>) =>
  lazy(async () => ({ default: (await adminOrAgain())[name] }));
const Dashboard = page('Dashboard');
const Sessions = page('Sessions');
const AdminSession = page('AdminSession');
const Settings = page('Settings');
const Staging = page('Staging');
const StagingConfigPage = page('StagingConfigPage');
const Workspaces = page('Workspaces');
const Catalogue = page('Catalogue');
const CreateWorkspace = page('CreateWorkspace');
const WorkspacePage = page('WorkspacePage');
const WebFilter = page('WebFilter');
const Users = page('Users');
const UserPage = page('UserPage');
const Groups = page('Groups');
const GroupPage = page('GroupPage');
const ApiKeys = page('ApiKeys');
const Webhooks = page('Webhooks');
const WebhookPage = page('WebhookPage');
const Zones = page('Zones');
const Managers = page('Managers');
const ManagerPage = page('ManagerPage');
const Agents = page('Agents');
const AgentPage = page('AgentPage');
const Gateways = page('Gateways');
const Homes = page('Homes');
const Machines = page('Machines');
const Logs = page('Logs');
const Launches = page('Launches');
const ManagerRequests = page('ManagerRequests');
const Recordings = page('Recordings');
const ReplayPage = page('ReplayPage');
const Secrets = page('Secrets');

/** Every address of the console. */
export function App() {
  const { hash } = useLocation();
  if (hash.startsWith('#/connect/')) return <ConnectPage hash={hash} />;
  return (
    <Suspense fallback={<Waiting />}>
      <Routes>
        <Route path="/join/:shareId" element={<JoinPage />} />
        <Route path="/second-screen" element={<SecondScreenPage />} />
        <Route element={<LoggedIn />}>
          <Route path="/session/:sessionId" element={<SessionPage />} />
          <Route path="/watch/:leaseId" element={<WatchPage />} />
          <Route element={<UserLayout />}>
            <Route index element={<Launcher />} />
            <Route path="account" element={<Account />} />
            <Route path="recordings" element={<Recordings />} />
            <Route path="recordings/:leaseId" element={<ReplayPage />} />
            <Route path="secrets" element={<Secrets />} />
            <Route path="*" element={<NotFound />} />
          </Route>
          <Route path="/admin" element={<AdminLayout />}>
            <Route index element={<Dashboard />} />
            <Route path="sessions" element={<Sessions />} />
            <Route path="sessions/:sessionId" element={<AdminSession />} />
            <Route path="recordings" element={<Recordings />} />
            <Route path="recordings/:leaseId" element={<ReplayPage />} />
            <Route path="staging" element={<Staging />} />
            <Route path="staging/:configId" element={<StagingConfigPage />} />
            <Route path="workspaces" element={<Workspaces />} />
            <Route path="catalogue" element={<Catalogue />} />
            <Route path="homes" element={<Homes />} />
            <Route path="workspaces/new" element={<CreateWorkspace />} />
            <Route path="workspaces/:imageId" element={<WorkspacePage />} />
            <Route path="users" element={<Users />} />
            <Route path="users/:userId" element={<UserPage />} />
            <Route path="groups" element={<Groups />} />
            <Route path="groups/:groupId" element={<GroupPage />} />
            <Route path="web-filter" element={<WebFilter />} />
            <Route path="api-keys" element={<ApiKeys />} />
            <Route path="secrets" element={<Secrets />} />
            <Route path="settings" element={<Settings />} />
            <Route path="webhooks" element={<Webhooks />} />
            <Route path="webhooks/:webhookId" element={<WebhookPage />} />
            <Route path="infrastructure/zones" element={<Zones />} />
            <Route path="infrastructure/managers" element={<Managers />} />
            <Route path="infrastructure/managers/:managerId" element={<ManagerPage />} />
            <Route path="infrastructure/agents" element={<Agents />} />
            <Route path="infrastructure/agents/:agentId" element={<AgentPage />} />
            <Route path="infrastructure/gateways" element={<Gateways />} />
            <Route path="infrastructure/machines" element={<Machines />} />
            <Route path="diagnostics/launches" element={<Launches />} />
            <Route path="diagnostics/logs" element={<Logs />} />
            <Route path="diagnostics/manager-requests" element={<ManagerRequests />} />
            <Route path="*" element={<NotFound />} />
          </Route>
        </Route>
      </Routes>
    </Suspense>
  );
}

/** The log-in form at any address, until a user is logged in. */
function LoggedIn() {
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
