/** Short reasons why a pool was passed over; the sentences come from the server. */
const WORDS: Record<string, string> = {
  pool_empty: 'No staged session was free',
  hand_over_failed: 'The hand-over to the user failed',
  no_capacity: 'Not enough capacity',
  no_disk: 'Not enough free disk space',
  agent_missing: 'The Agents were missing',
  agent_disabled: 'The Agents were disabled or draining',
  image_disabled: 'The workspace was disabled',
  image_unavailable: 'No Agent had the image',
  zone_not_searched: 'The zone was not searched',
  restricted: 'The zone was not allowed',
  adds_no_secrets: 'The Agents cannot add secrets to requests',
  busy: 'Too many launches at once',
  served_elsewhere: 'Another pool is used first',
  start_failed: 'The start of the session failed',
  no_request_host: 'The zone uses $request_host$, which staged sessions do not have',
  persistent_profile: 'Persistent profile (kept home folder)',
  image_volume_mapping: 'The workspace has a volume mapping with {username} or {user_id}',
  expose_user_environment_vars: 'Environment variables of the user',
  inject_ssh_keys: 'SSH keys of the user',
  run_config: 'Docker run config of a group',
  volume_mapping: 'Volume mapping of a group',
  web_filter_policy: 'Web filter of a group',
  permissions: 'Permissions that differ from those of the pool',
  language_or_timezone: 'Language or time zone of the user',
  launch_options: 'Options of the launch',
};

/** The text for the code of a step or a miss; an unknown code of a newer server is shown as it is. */
export function wordsOf(code: string): string {
  return WORDS[code] ?? code.replaceAll('_', ' ');
}
