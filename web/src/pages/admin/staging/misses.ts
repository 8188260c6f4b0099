import { t } from '@lingui/core/macro';
import { settingTitle } from '../../../components/titles';

/** Short reasons why a pool was passed over; the sentences come from the server. */
const WORDS: Record<string, string> = {
  pool_empty: t`No staged session was free`,
  hand_over_failed: t`The hand-over to the user failed`,
  no_capacity: t`Not enough capacity`,
  no_disk: t`Not enough free disk space`,
  agent_missing: t`The Agents were missing`,
  agent_disabled: t`The Agents were disabled or draining`,
  image_disabled: t`The workspace was disabled`,
  image_unavailable: t`No Agent had the image`,
  zone_not_searched: t`The zone was not searched`,
  restricted: t`The zone was not allowed`,
  adds_no_secrets: t`The Agents cannot add secrets to requests`,
  busy: t`Too many launches at once`,
  served_elsewhere: t`Another pool is used first`,
  start_failed: t`The start of the session failed`,
  no_request_host: t`The zone uses $request_host$, which staged sessions do not have`,
  persistent_profile: t`Persistent profile (kept home folder)`,
  image_volume_mapping: t`The workspace has a volume mapping with ${{ username: '{username}' }} or ${{ userId: '{user_id}' }}`,
  expose_user_environment_vars: t`Environment variables of the user`,
  inject_ssh_keys: t`SSH keys of the user`,
  run_config: t`Docker run config of a group`,
  volume_mapping: t`Volume mapping of a group`,
  web_filter_policy: t`Web filter of a group`,
  permissions: t`Permissions that differ from those of the pool`,
  language_or_timezone: t`Language or time zone of the user`,
  launch_options: t`Options of the launch`,
};

/** The text for the code of a step or a miss; an unknown code of a newer server is shown as it is. */
export function wordsOf(code: string): string {
  return WORDS[code] ?? code.replaceAll('_', ' ');
}

interface Excluded {
  /** Permissions that differ, or codes of rules. */
  reasons: string[];
  /** The permissions of a pool that serves these users; null = none does. */
  permissions: Record<string, boolean> | null;
}

/** "Downloads off, Clipboard Down off": the settings with which users get no session of a pool. */
export function reasonsText({ reasons, permissions }: Excluded): string {
  const texts = permissions
    ? reasons.map((name) => {
        const title = settingTitle(name);
        return permissions[name] ? t`${title} on` : t`${title} off`;
      })
    : reasons.map(wordsOf);
  return texts.join(', ');
}
