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
  IconUsersGroup,
  IconWebhook,
  IconWorldShare,
  type TablerIcon,
} from '@tabler/icons-react';
import { allows } from '../api/auth';
import type { Me } from '../api/types';

export interface Place {
  to: string;
  label: string;
  icon: TablerIcon;
  permission?: string;
}

/** The administrator's pages in groups (Infrastructure → Managers, Diagnostics …). */
export const SECTIONS: { title: string | null; places: Place[] }[] = [
  { title: null, places: [{ to: '/admin', label: 'Dashboard', icon: IconChartDots }] },
  {
    title: 'Sessions',
    places: [
      { to: '/admin/sessions', label: 'Sessions', icon: IconDeviceDesktop, permission: 'sessions_view' },
      { to: '/admin/recordings', label: 'Recordings', icon: IconMovie, permission: 'recordings_view' },
      { to: '/admin/staging', label: 'Staging', icon: IconStack2, permission: 'staging_view' },
      { to: '/admin/workspaces', label: 'Workspaces', icon: IconApps, permission: 'images_view' },
      { to: '/admin/homes', label: 'Home Folders', icon: IconHome, permission: 'homes_view' },
      { to: '/admin/catalogue', label: 'Catalogue', icon: IconBuildingStore, permission: 'images_view' },
    ],
  },
  {
    title: 'Access',
    places: [
      { to: '/admin/users', label: 'Users', icon: IconUser, permission: 'users_view' },
      { to: '/admin/groups', label: 'Groups', icon: IconUsersGroup, permission: 'groups_view' },
      { to: '/admin/web-filter', label: 'Web Filter', icon: IconShieldHalf, permission: 'webfilters_view' },
      { to: '/admin/api-keys', label: 'API Keys', icon: IconKey, permission: 'devapi_view' },
      { to: '/admin/secrets', label: 'Secrets', icon: IconLockPassword, permission: 'secrets_view' },
    ],
  },
  {
    title: 'Infrastructure',
    places: [
      { to: '/admin/infrastructure/zones', label: 'Zones', icon: IconMap2, permission: 'zones_view' },
      { to: '/admin/infrastructure/managers', label: 'Managers', icon: IconServer2, permission: 'managers_view' },
      { to: '/admin/infrastructure/agents', label: 'Docker Agents', icon: IconCpu, permission: 'agents_view' },
      { to: '/admin/infrastructure/machines', label: 'Machines', icon: IconCloud, permission: 'machines_view' },
      { to: '/admin/infrastructure/gateways', label: 'Gateways', icon: IconWorldShare, permission: 'agents_view' },
    ],
  },
  {
    title: 'Diagnostics',
    places: [
      { to: '/admin/diagnostics/logs', label: 'Logs', icon: IconNotes, permission: 'system_view' },
      { to: '/admin/diagnostics/launches', label: 'Launches', icon: IconRocket, permission: 'sessions_view' },
      {
        to: '/admin/diagnostics/manager-requests',
        label: 'Manager Requests',
        icon: IconListDetails,
        permission: 'system_view',
      },
    ],
  },
  {
    title: 'System',
    places: [
      { to: '/admin/settings', label: 'Settings', icon: IconSettings, permission: 'settings_view' },
      { to: '/admin/webhooks', label: 'Webhooks', icon: IconWebhook, permission: 'webhooks_view' },
    ],
  },
];

const PERMISSIONS = SECTIONS.flatMap(({ places }) => places.flatMap(({ permission }) => permission ?? []));

/** Whether any page of the administration is open to the person. */
export function isAdministrator(me: Me | null | undefined): boolean {
  return PERMISSIONS.some((permission) => allows(me, permission));
}
