/** Every page of the console. The router, the navigation, the account menu and lazy loading follow this table. */

import {
  IconApps,
  IconBuildingStore,
  IconChartDots,
  IconCloud,
  IconCpu,
  IconDeviceDesktop,
  IconHome,
  IconKey,
  IconListDetails,
  IconLockPassword,
  IconMap2,
  IconMovie,
  IconNotes,
  IconRocket,
  IconServer2,
  IconSettings,
  IconShieldHalf,
  IconStack2,
  IconUser,
  IconUserCog,
  IconUsersGroup,
  IconWebhook,
  IconWorldShare,
  type TablerIcon,
} from '@tabler/icons-react';
import { type ComponentType, createContext, lazy, use } from 'react';
import { allows } from './api/auth';
import type { Me } from './api/types';
import { Account } from './pages/account/Account';
import { Launcher } from './pages/launcher/Launcher';
import { SecondScreenPage } from './pages/session/SecondScreenPage';
import { SessionPage } from './pages/session/SessionPage';
import { WatchPage } from './pages/session/WatchPage';
import { JoinPage } from './pages/share/JoinPage';

/** Sections of the administration's navigation, from top to bottom. */
export const SECTIONS = ['Overview', 'Sessions', 'Access', 'Infrastructure', 'Diagnostics', 'System'] as const;

export interface Place {
  path: string;
  page: ComponentType;
  /** Further addresses, which lead to it. */
  also?: string[];
  /**
   * What is around the page: nothing, and it needs no log-in; nothing; the header; header and navigation. Without it the
   * header, and below `/admin` also the navigation.
   */
  frame?: 'public' | 'bare' | 'header' | 'admin';
}

/** A page that a menu leads to. */
export interface Listed extends Place {
  /** Heading of the page. */
  title: string;
  /** Words of the link, if they are not the title. */
  link?: string;
  section: (typeof SECTIONS)[number] | 'Account';
  icon: TablerIcon;
  /** Who has the link; without it everybody. */
  permission?: string;
}

const IMPORT_AGAIN_MS = 1000;

/**
 * What is loaded when it is shown, and once more if that failed. All of it is one part of the bundle (see
 * vite.config.ts), which people who only use desktops never fetch.
 */
export function lazily<Name extends string>(
  load: () => Promise<Record<Name, ComponentType>>,
  name: Name,
): ComponentType {
  const again = () => new Promise((done) => setTimeout(done, IMPORT_AGAIN_MS)).then(load);
  return lazy<ComponentType>(async () => ({ default: (await load().catch(again))[name] }));
}

const Recordings = lazily(() => import('./pages/recording/Recordings'), 'Recordings');
const ReplayPage = lazily(() => import('./pages/recording/ReplayPage'), 'ReplayPage');
const Secrets = lazily(() => import('./pages/secret/Secrets'), 'Secrets');

export const PLACES: (Place | Listed)[] = [
  { path: '/join/:shareId', frame: 'public', page: JoinPage },
  { path: '/second-screen', frame: 'public', page: SecondScreenPage },
  { path: '/session/:sessionId', frame: 'bare', page: SessionPage },
  { path: '/watch/:leaseId', frame: 'bare', page: WatchPage },
  { path: '/', page: Launcher },
  { path: '/account', title: 'My account', section: 'Account', icon: IconUserCog, page: Account },
  {
    path: '/recordings',
    title: 'Recordings',
    link: 'Recordings of programs',
    section: 'Account',
    icon: IconMovie,
    page: Recordings,
  },
  { path: '/recordings/:leaseId', page: ReplayPage },
  {
    path: '/secrets',
    title: 'Secrets',
    link: 'Secrets for programs',
    section: 'Account',
    icon: IconLockPassword,
    page: Secrets,
  },
  {
    path: '/admin',
    title: 'Dashboard',
    section: 'Overview',
    icon: IconChartDots,
    page: lazily(() => import('./pages/admin/Dashboard'), 'Dashboard'),
  },
  {
    path: '/admin/sessions',
    title: 'Sessions',
    section: 'Sessions',
    icon: IconDeviceDesktop,
    permission: 'sessions_view',
    page: lazily(() => import('./pages/admin/sessions/Sessions'), 'Sessions'),
  },
  {
    path: '/admin/sessions/:sessionId',
    page: lazily(() => import('./pages/admin/sessions/AdminSession'), 'AdminSession'),
  },
  {
    path: '/admin/recordings',
    title: 'Recordings',
    section: 'Sessions',
    icon: IconMovie,
    permission: 'recordings_view',
    page: Recordings,
  },
  { path: '/admin/recordings/:leaseId', page: ReplayPage },
  {
    path: '/admin/staging',
    title: 'Staging',
    section: 'Sessions',
    icon: IconStack2,
    permission: 'staging_view',
    page: lazily(() => import('./pages/admin/staging/Staging'), 'Staging'),
  },
  {
    path: '/admin/staging/:configId',
    page: lazily(() => import('./pages/admin/staging/StagingConfigPage'), 'StagingConfigPage'),
  },
  {
    path: '/admin/workspaces',
    title: 'Workspaces',
    section: 'Sessions',
    icon: IconApps,
    permission: 'images_view',
    page: lazily(() => import('./pages/admin/workspaces/Workspaces'), 'Workspaces'),
  },
  {
    path: '/admin/workspaces/new',
    page: lazily(() => import('./pages/admin/workspaces/CreateWorkspace'), 'CreateWorkspace'),
  },
  {
    path: '/admin/workspaces/:imageId',
    page: lazily(() => import('./pages/admin/workspaces/WorkspacePage'), 'WorkspacePage'),
  },
  {
    path: '/admin/homes',
    title: 'Home Folders',
    section: 'Sessions',
    icon: IconHome,
    permission: 'homes_view',
    page: lazily(() => import('./pages/admin/homes/Homes'), 'Homes'),
  },
  {
    path: '/admin/catalogue',
    title: 'Catalogue',
    section: 'Sessions',
    icon: IconBuildingStore,
    permission: 'images_view',
    page: lazily(() => import('./pages/admin/catalogue/Catalogue'), 'Catalogue'),
  },
  {
    path: '/admin/users',
    title: 'Users',
    section: 'Access',
    icon: IconUser,
    permission: 'users_view',
    page: lazily(() => import('./pages/admin/users/Users'), 'Users'),
  },
  { path: '/admin/users/:userId', page: lazily(() => import('./pages/admin/users/UserPage'), 'UserPage') },
  {
    path: '/admin/groups',
    title: 'Groups',
    section: 'Access',
    icon: IconUsersGroup,
    permission: 'groups_view',
    page: lazily(() => import('./pages/admin/groups/Groups'), 'Groups'),
  },
  { path: '/admin/groups/:groupId', page: lazily(() => import('./pages/admin/groups/GroupPage'), 'GroupPage') },
  {
    path: '/admin/web-filter',
    title: 'Web Filter',
    section: 'Access',
    icon: IconShieldHalf,
    permission: 'webfilters_view',
    page: lazily(() => import('./pages/admin/webfilter/WebFilter'), 'WebFilter'),
  },
  {
    path: '/admin/api-keys',
    title: 'API Keys',
    section: 'Access',
    icon: IconKey,
    permission: 'devapi_view',
    page: lazily(() => import('./pages/admin/system/ApiKeys'), 'ApiKeys'),
  },
  {
    path: '/admin/secrets',
    title: 'Secrets',
    section: 'Access',
    icon: IconLockPassword,
    permission: 'secrets_view',
    page: Secrets,
  },
  {
    path: '/admin/infrastructure/zones',
    title: 'Zones',
    section: 'Infrastructure',
    icon: IconMap2,
    permission: 'zones_view',
    page: lazily(() => import('./pages/admin/infrastructure/Zones'), 'Zones'),
  },
  {
    path: '/admin/infrastructure/managers',
    title: 'Managers',
    section: 'Infrastructure',
    icon: IconServer2,
    permission: 'managers_view',
    page: lazily(() => import('./pages/admin/infrastructure/Managers'), 'Managers'),
  },
  {
    path: '/admin/infrastructure/managers/:managerId',
    page: lazily(() => import('./pages/admin/infrastructure/ManagerPage'), 'ManagerPage'),
  },
  {
    path: '/admin/infrastructure/agents',
    title: 'Docker Agents',
    section: 'Infrastructure',
    icon: IconCpu,
    permission: 'agents_view',
    page: lazily(() => import('./pages/admin/infrastructure/Agents'), 'Agents'),
  },
  {
    path: '/admin/infrastructure/agents/:agentId',
    page: lazily(() => import('./pages/admin/infrastructure/AgentPage'), 'AgentPage'),
  },
  {
    path: '/admin/infrastructure/machines',
    title: 'Machines',
    section: 'Infrastructure',
    icon: IconCloud,
    permission: 'machines_view',
    page: lazily(() => import('./pages/admin/infrastructure/Machines'), 'Machines'),
  },
  {
    path: '/admin/infrastructure/gateways',
    title: 'Gateways',
    section: 'Infrastructure',
    icon: IconWorldShare,
    permission: 'agents_view',
    page: lazily(() => import('./pages/admin/infrastructure/Gateways'), 'Gateways'),
  },
  {
    path: '/admin/diagnostics/logs',
    title: 'Logs',
    section: 'Diagnostics',
    icon: IconNotes,
    permission: 'system_view',
    page: lazily(() => import('./pages/admin/diagnostics/Logs'), 'Logs'),
  },
  {
    path: '/admin/diagnostics/launches',
    title: 'Launches',
    section: 'Diagnostics',
    icon: IconRocket,
    permission: 'sessions_view',
    also: ['/admin/launches'],
    page: lazily(() => import('./pages/admin/diagnostics/Launches'), 'Launches'),
  },
  {
    path: '/admin/diagnostics/manager-requests',
    title: 'Manager Requests',
    section: 'Diagnostics',
    icon: IconListDetails,
    permission: 'system_view',
    page: lazily(() => import('./pages/admin/diagnostics/ManagerRequests'), 'ManagerRequests'),
  },
  {
    path: '/admin/settings',
    title: 'Settings',
    section: 'System',
    icon: IconSettings,
    permission: 'settings_view',
    page: lazily(() => import('./pages/admin/system/Settings'), 'Settings'),
  },
  {
    path: '/admin/webhooks',
    title: 'Webhooks',
    section: 'System',
    icon: IconWebhook,
    permission: 'webhooks_view',
    page: lazily(() => import('./pages/admin/webhooks/Webhooks'), 'Webhooks'),
  },
  {
    path: '/admin/webhooks/:webhookId',
    page: lazily(() => import('./pages/admin/webhooks/WebhookPage'), 'WebhookPage'),
  },
];

/** The place whose page is shown. */
export const PlaceContext = createContext<Place | Listed | null>(null);

/** The place whose page this is; a menu leads to it. */
export function usePlace(): Listed {
  const place = use(PlaceContext);
  if (!place || !('title' in place)) throw new Error('No menu leads to this page.');
  return place;
}

/** What is around a page. */
export function frameOf({ frame, path }: Place): NonNullable<Place['frame']> {
  return frame ?? (path.startsWith('/admin') ? 'admin' : 'header');
}

/** The pages of a section, in order. */
export function placesIn(section: Listed['section']): Listed[] {
  return PLACES.filter((place): place is Listed => 'section' in place && place.section === section);
}

/** Whether any page of the administration is open to the person. */
export function isAdministrator(me: Me | null | undefined): boolean {
  return PLACES.some((place) => 'permission' in place && place.permission && allows(me, place.permission));
}
