/** The addresses of objects that the server names by kind and id: in sentences of Today, and in hits of the search. */

import { allows } from '../api/auth';
import type { Attention, Hit, Me, ObjectRef } from '../api/types';

/** The group All Users, whose id is the same in each installation. */
const ALL_USERS = '68d557ac-4cac-42cc-a9f3-1c7c853de0f3';

/** The documentation. */
export const HELP = '/help/';

export type ObjectKind = Hit['kind'] | ObjectRef['kind'];

/** The address of the page of each kind; `…_view` shows it. */
const PAGES: Record<ObjectKind, { to: (id: string) => string; needs: string }> = {
  agent: { to: (id) => `/admin/infrastructure/agents/${id}`, needs: 'agents_view' },
  agents: { to: () => '/admin/infrastructure/agents', needs: 'agents_view' },
  api_key: { to: (id) => `/admin/api-keys?panel=${id}`, needs: 'devapi_view' },
  directory: { to: (id) => `/admin/directories?panel=${id}`, needs: 'settings_view' },
  filter_policy: { to: (id) => `/admin/web-filter?panel=${id}`, needs: 'webfilters_view' },
  group: { to: (id) => `/admin/groups/${id}`, needs: 'groups_view' },
  guide: { to: (id) => `${HELP}docs/howto/${id}`, needs: 'system_view' },
  group_setting: { to: (id) => `/admin/groups/${ALL_USERS}?tab=settings&q=${id}`, needs: 'groups_view' },
  image: { to: (id) => `/admin/workspaces/${id}`, needs: 'images_view' },
  launches: { to: () => '/admin/diagnostics/launches?outcome=failed', needs: 'sessions_view' },
  log_code: { to: (id) => `/admin/diagnostics/logs?level=DEBUG&code=${id}`, needs: 'system_view' },
  machine_pool: { to: (id) => `/admin/infrastructure/machines?panel=${id}`, needs: 'machines_view' },
  manager: { to: (id) => `/admin/infrastructure/managers/${id}`, needs: 'managers_view' },
  managers: { to: () => '/admin/infrastructure/managers', needs: 'managers_view' },
  scim_client: { to: () => '/admin/provisioning', needs: 'settings_view' },
  secret: { to: (id) => `/admin/secrets?panel=${id}`, needs: 'secrets_view' },
  service_account: { to: (id) => `/admin/service-accounts?panel=${id}`, needs: 'devapi_view' },
  session: { to: (id) => `/admin/sessions/${id}`, needs: 'sessions_view' },
  setting: { to: (id) => `/admin/settings#${id}`, needs: 'settings_view' },
  sign_on_provider: { to: (id) => `/admin/sign-on?panel=${id}`, needs: 'settings_view' },
  staging_config: { to: (id) => `/admin/staging/${id}`, needs: 'staging_view' },
  staging_configs: { to: () => '/admin/staging', needs: 'staging_view' },
  user: { to: (id) => `/admin/users/${id}`, needs: 'users_view' },
  webhook: { to: (id) => `/admin/webhooks/${id}`, needs: 'webhooks_view' },
  zone: { to: (id) => `/admin/infrastructure/zones/${id}`, needs: 'zones_view' },
};

/** The address of the page of an object; null = the user may not open it. */
export function addressOf({ kind, id }: { kind: ObjectKind; id: string }, me: Me | null | undefined): string | null {
  // A page that is older than the server does not know the kinds that were added since.
  const page = (PAGES as Partial<typeof PAGES>)[kind];
  return page && allows(me, page.needs) ? page.to(id) : null;
}

/** The address at which an action helps: the page of the object, or its form. */
export function helpAddress({ object, operation }: Attention['help'], me: Me | null | undefined): string | null {
  const to = addressOf(object, me);
  if (operation === 'edit') return to && `${to}?do=edit`;
  return to && operation === 'create' ? `${to}?create=1` : to;
}
