/** Every page of the console. The router, the navigation, the account menu and lazy loading follow this table. */

import { t } from '@lingui/core/macro';
import {
  IconAddressBook,
  IconApps,
  IconBuildingStore,
  IconCalendarEvent,
  IconChartDots,
  IconClipboardCheck,
  IconCloud,
  IconCpu,
  IconDeviceDesktop,
  IconHome,
  IconKey,
  IconListDetails,
  IconLogin2,
  IconLockPassword,
  IconMap2,
  IconMovie,
  IconNotes,
  IconRobot,
  IconRocket,
  IconServer2,
  IconSettings,
  IconShieldHalf,
  IconSitemap,
  IconStack2,
  IconTimeline,
  IconUser,
  IconUserCog,
  IconUserPlus,
  IconUsersGroup,
  IconVideo,
  IconWebhook,
  IconWorldShare,
  type TablerIcon,
} from '@tabler/icons-react';
import { type ComponentType, createContext, use } from 'react';
import { matchPath } from 'react-router';
import { allows, allowsEverywhere } from './api/auth';
import type { Me } from './api/types';
import { lazily } from './components/lazily';
import { Launcher } from './pages/launcher/Launcher';

export interface Place {
  path: string;
  page: ComponentType;
  /** Further addresses of the page. */
  also?: string[];
  /**
   * The frame of the page: none and no log-in, none, the header, or header and navigation. The default is the header, and
   * header and navigation below `/admin`.
   */
  frame?: 'public' | 'bare' | 'header' | 'admin';
  /** The page of an item is too wide for the panel beside a list. */
  wide?: boolean;
}

/** A page in a menu. */
export interface Listed extends Place {
  /** Heading of the page. */
  title: string;
  /** The text of the link, if it is not the title. */
  link?: string;
  icon: TablerIcon;
  /** The prefix of its permissions; `<needs>_view` shows the link. Without it, all users see the link. */
  needs?: string;
  /** The permission must apply to the whole installation. */
  everywhere?: boolean;
  /** The title of the action that creates an item; `<needs>_create` shows it. */
  create?: string;
}

// Only the launcher is in the first part of the bundle. The other pages are loaded when they are shown.
const Account = lazily(() => import('./pages/account/Account'), 'Account');
const AdminSession = lazily(() => import('./pages/admin/sessions/AdminSession'), 'AdminSession');
const AgentPage = lazily(() => import('./pages/admin/infrastructure/AgentPage'), 'AgentPage');
const Agents = lazily(() => import('./pages/admin/infrastructure/Agents'), 'Agents');
const ApiKeys = lazily(() => import('./pages/admin/system/ApiKeys'), 'ApiKeys');
const Audit = lazily(() => import('./pages/admin/diagnostics/Audit'), 'Audit');
const Catalogue = lazily(() => import('./pages/admin/catalogue/Catalogue'), 'Catalogue');
const CreateWorkspace = lazily(() => import('./pages/admin/workspaces/CreateWorkspace'), 'CreateWorkspace');
const Directories = lazily(() => import('./pages/admin/signon/Directories'), 'Directories');
const Gateways = lazily(() => import('./pages/admin/infrastructure/Gateways'), 'Gateways');
const GroupPage = lazily(() => import('./pages/admin/groups/GroupPage'), 'GroupPage');
const Groups = lazily(() => import('./pages/admin/groups/Groups'), 'Groups');
const Homes = lazily(() => import('./pages/admin/homes/Homes'), 'Homes');
const JoinPage = lazily(() => import('./pages/share/JoinPage'), 'JoinPage');
const Launches = lazily(() => import('./pages/admin/diagnostics/Launches'), 'Launches');
const Logs = lazily(() => import('./pages/admin/diagnostics/Logs'), 'Logs');
const Machines = lazily(() => import('./pages/admin/infrastructure/Machines'), 'Machines');
const ManagerPage = lazily(() => import('./pages/admin/infrastructure/ManagerPage'), 'ManagerPage');
const ManagerRequests = lazily(() => import('./pages/admin/diagnostics/ManagerRequests'), 'ManagerRequests');
const Managers = lazily(() => import('./pages/admin/infrastructure/Managers'), 'Managers');
const Recordings = lazily(() => import('./pages/recording/Recordings'), 'Recordings');
const SessionVideoPage = lazily(() => import('./pages/recording/SessionVideoPage'), 'SessionVideoPage');
const SessionVideos = lazily(() => import('./pages/recording/SessionVideos'), 'SessionVideos');
const ReplayPage = lazily(() => import('./pages/recording/ReplayPage'), 'ReplayPage');
const SecondScreenPage = lazily(() => import('./pages/session/SecondScreenPage'), 'SecondScreenPage');
const Secrets = lazily(() => import('./pages/secret/Secrets'), 'Secrets');
const ServiceAccounts = lazily(() => import('./pages/admin/service/ServiceAccounts'), 'ServiceAccounts');
const SessionPage = lazily(() => import('./pages/session/SessionPage'), 'SessionPage');
const Sessions = lazily(() => import('./pages/admin/sessions/Sessions'), 'Sessions');
const Provisioning = lazily(() => import('./pages/admin/signon/Provisioning'), 'Provisioning');
const SignOn = lazily(() => import('./pages/admin/signon/SignOn'), 'SignOn');
const Settings = lazily(() => import('./pages/admin/system/Settings'), 'Settings');
const StagePage = lazily(() => import('./stage/StagePage'), 'StagePage');
const Staging = lazily(() => import('./pages/admin/staging/Staging'), 'Staging');
const StagingConfigPage = lazily(() => import('./pages/admin/staging/StagingConfigPage'), 'StagingConfigPage');
const Today = lazily(() => import('./pages/admin/today/Today'), 'Today');
const Trends = lazily(() => import('./pages/admin/trends/Trends'), 'Trends');
const UserPage = lazily(() => import('./pages/admin/users/UserPage'), 'UserPage');
const Users = lazily(() => import('./pages/admin/users/Users'), 'Users');
const WatchPage = lazily(() => import('./pages/session/WatchPage'), 'WatchPage');
const WebFilter = lazily(() => import('./pages/admin/webfilter/WebFilter'), 'WebFilter');
const WebhookPage = lazily(() => import('./pages/admin/webhooks/WebhookPage'), 'WebhookPage');
const Webhooks = lazily(() => import('./pages/admin/webhooks/Webhooks'), 'Webhooks');
const WorkspacePage = lazily(() => import('./pages/admin/workspaces/WorkspacePage'), 'WorkspacePage');
const Workspaces = lazily(() => import('./pages/admin/workspaces/Workspaces'), 'Workspaces');
const ZonePage = lazily(() => import('./pages/admin/infrastructure/ZonePage'), 'ZonePage');
const Zones = lazily(() => import('./pages/admin/infrastructure/Zones'), 'Zones');

/**
 * The pages by menu: the menu of the account, then the seven places of the navigation. The pages of a place are its tabs.
 * The page of one item follows its list.
 */
const MENUS = {
  Account: [
    { path: '/account', title: t`My account`, icon: IconUserCog, page: Account },
    {
      path: '/recordings',
      title: t`Recordings`,
      link: t`Recorded actions of programs`,
      icon: IconMovie,
      page: Recordings,
    },
    { path: '/recordings/:leaseId', page: ReplayPage },
    { path: '/secrets', title: t`Secrets`, link: t`Secrets for programs`, icon: IconLockPassword, page: Secrets },
  ],
  Today: [
    { path: '/admin', title: t`Today`, icon: IconChartDots, page: Today },
    { path: '/admin/trends', title: t`Trends`, icon: IconTimeline, page: Trends },
  ],
  Sessions: [
    { path: '/admin/sessions', title: t`Sessions`, icon: IconDeviceDesktop, needs: 'sessions', page: Sessions },
    { path: '/admin/sessions/:sessionId', page: AdminSession },
    { path: '/admin/recordings', title: t`Recordings`, icon: IconMovie, needs: 'recordings', page: Recordings },
    { path: '/admin/recordings/:leaseId', page: ReplayPage, wide: true },
    {
      path: '/admin/session-videos',
      title: t`Session Videos`,
      icon: IconVideo,
      needs: 'session_videos',
      page: SessionVideos,
    },
    { path: '/admin/session-videos/:sessionId', page: SessionVideoPage, wide: true },
  ],
  Staging: [
    {
      path: '/admin/staging',
      title: t`Staging`,
      create: t`Create New Config`,
      icon: IconStack2,
      needs: 'staging',
      page: Staging,
    },
    { path: '/admin/staging/:configId', page: StagingConfigPage },
  ],
  Workspaces: [
    { path: '/admin/workspaces', title: t`Workspaces`, icon: IconApps, needs: 'images', page: Workspaces },
    { path: '/admin/workspaces/new', page: CreateWorkspace },
    { path: '/admin/workspaces/:imageId', page: WorkspacePage },
    { path: '/admin/catalogue', title: t`Catalogue`, icon: IconBuildingStore, needs: 'images', page: Catalogue },
    { path: '/admin/homes', title: t`Home Folders`, icon: IconHome, needs: 'homes', page: Homes },
    {
      path: '/admin/web-filter',
      title: t`Web Filter`,
      create: t`Create Policy`,
      icon: IconShieldHalf,
      needs: 'webfilters',
      page: WebFilter,
    },
  ],
  People: [
    { path: '/admin/users', title: t`Users`, create: t`Create User`, icon: IconUser, needs: 'users', page: Users },
    { path: '/admin/users/:userId', page: UserPage },
    {
      path: '/admin/groups',
      title: t`Groups`,
      create: t`Create Group`,
      icon: IconUsersGroup,
      needs: 'groups',
      page: Groups,
    },
    { path: '/admin/groups/:groupId', page: GroupPage },
    { path: '/admin/sign-on', title: t`Sign-on`, icon: IconLogin2, needs: 'settings', page: SignOn },
    { path: '/admin/directories', title: t`Directories`, icon: IconAddressBook, needs: 'settings', page: Directories },
    { path: '/admin/provisioning', title: t`Provisioning`, icon: IconUserPlus, needs: 'settings', page: Provisioning },
    {
      path: '/admin/service-accounts',
      title: t`Service Accounts`,
      create: t`Create Service Account`,
      icon: IconRobot,
      needs: 'devapi',
      page: ServiceAccounts,
    },
    {
      path: '/admin/api-keys',
      title: t`API Keys`,
      create: t`Create API Key`,
      icon: IconKey,
      needs: 'devapi',
      page: ApiKeys,
    },
    { path: '/admin/secrets', title: t`Secrets`, icon: IconLockPassword, needs: 'secrets', page: Secrets },
  ],
  Infrastructure: [
    {
      path: '/admin/infrastructure/stage-map',
      title: t`Stage Map`,
      icon: IconSitemap,
      needs: 'agents',
      page: StagePage,
    },
    {
      path: '/admin/infrastructure/zones',
      title: t`Zones`,
      create: t`Create Zone`,
      icon: IconMap2,
      needs: 'zones',
      page: Zones,
    },
    { path: '/admin/infrastructure/zones/:zoneId', page: ZonePage },
    {
      path: '/admin/infrastructure/managers',
      title: t`Managers`,
      icon: IconServer2,
      needs: 'managers',
      page: Managers,
    },
    { path: '/admin/infrastructure/managers/:managerId', page: ManagerPage },
    {
      path: '/admin/infrastructure/agents',
      title: t`Docker Agents`,
      create: t`Add Agent`,
      icon: IconCpu,
      needs: 'agents',
      page: Agents,
    },
    { path: '/admin/infrastructure/agents/:agentId', page: AgentPage },
    {
      path: '/admin/infrastructure/machines',
      title: t`Machine Pools`,
      create: t`Create Machine Pool`,
      icon: IconCloud,
      needs: 'machines',
      page: Machines,
    },
    {
      path: '/admin/infrastructure/gateways',
      title: t`Gateways`,
      create: t`Add Gateway`,
      icon: IconWorldShare,
      needs: 'agents',
      page: Gateways,
    },
    {
      path: '/admin/webhooks',
      title: t`Webhooks`,
      create: t`Create Webhook`,
      icon: IconWebhook,
      needs: 'webhooks',
      page: Webhooks,
    },
    { path: '/admin/webhooks/:webhookId', page: WebhookPage },
    { path: '/admin/settings', title: t`Settings`, icon: IconSettings, needs: 'settings', page: Settings },
  ],
  Diagnostics: [
    { path: '/admin/diagnostics/logs', title: t`Logs`, icon: IconNotes, needs: 'system', page: Logs },
    {
      path: '/admin/diagnostics/launches',
      title: t`Launches`,
      icon: IconRocket,
      needs: 'sessions',
      everywhere: true,
      also: ['/admin/launches'],
      page: Launches,
    },
    {
      path: '/admin/diagnostics/manager-requests',
      title: t`Manager Requests`,
      icon: IconListDetails,
      needs: 'system',
      page: ManagerRequests,
    },
    { path: '/admin/diagnostics/audit', title: t`Audit`, icon: IconClipboardCheck, needs: 'audit', page: Audit },
  ],
} satisfies Record<string, (Place | Listed)[]>;

type Menu = keyof typeof MENUS;

export type Section = Exclude<Menu, 'Account'>;

/** The places of the navigation, in order, with their pictures. */
export const SECTIONS: Record<Section, TablerIcon> = {
  Today: IconCalendarEvent,
  Sessions: IconDeviceDesktop,
  Staging: IconStack2,
  Workspaces: IconApps,
  People: IconUsersGroup,
  Infrastructure: IconServer2,
  Diagnostics: IconListDetails,
};

export const SECTION_TITLES: Record<Section, string> = {
  Today: t`Today`,
  Sessions: t`Sessions`,
  Staging: t`Staging`,
  Workspaces: t`Workspaces`,
  People: t`People`,
  Infrastructure: t`Infrastructure`,
  Diagnostics: t`Diagnostics`,
};

export const PLACES: (Place | Listed)[] = [
  { path: '/join/:shareId', frame: 'public', page: JoinPage },
  { path: '/second-screen', frame: 'public', page: SecondScreenPage },
  { path: '/session/:sessionId', frame: 'bare', page: SessionPage },
  { path: '/watch/:leaseId', frame: 'bare', page: WatchPage },
  { path: '/', page: Launcher },
  ...Object.values(MENUS).flat(),
];

function isListed(place: Place | Listed): place is Listed {
  return 'title' in place;
}

/** The pages of all menus. */
export const LISTED: Listed[] = PLACES.filter(isListed);

/** The pages of a menu, in order. */
export function placesIn(menu: Menu): Listed[] {
  return MENUS[menu].filter(isListed);
}

/** Whether the page at the address `pathname` is the list at `path`, or an item of the list. */
export function isBelow(pathname: string, path: string): boolean {
  return pathname === path || (path !== '/admin' && pathname.startsWith(`${path}/`));
}

/** The place of the page at an address; undefined = the address is in no menu. */
export function sectionAt(pathname: string): Section | undefined {
  return (Object.keys(SECTIONS) as Section[]).find((section) =>
    placesIn(section).some(({ path }) => isBelow(pathname, path)),
  );
}

/** Whether the user may open the page. */
export function mayOpen(me: Me | null | undefined, { needs, everywhere }: Listed): boolean {
  return !needs || (everywhere ? allowsEverywhere : allows)(me, `${needs}_view`);
}

/** Whether the user may open any page of the administration. */
export function isAdministrator(me: Me | null | undefined): boolean {
  return PLACES.some((place) => isListed(place) && place.needs && mayOpen(me, place));
}

/** The place whose page is shown. */
export const PlaceContext = createContext<Place | Listed | null>(null);

/** The place of a page in a menu. */
export function usePlace(): Listed {
  const place = use(PlaceContext);
  if (!place || !isListed(place)) throw new Error('No menu leads to this page.');
  return place;
}

/** The page of an item that the panel beside a list can show; undefined = there is no such page at this path. */
export function placeInPanel(pathname: string): Place | undefined {
  const place = PLACES.find(({ path }) => matchPath(path, pathname));
  return place && !place.wide && place.path.includes(':') && frameOf(place) === 'admin' ? place : undefined;
}

/** The frame of a page. */
export function frameOf({ frame, path }: Place): NonNullable<Place['frame']> {
  return frame ?? (path.startsWith('/admin') ? 'admin' : 'header');
}
