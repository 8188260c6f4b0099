/** Why a pool was passed over, in few words; the sentences come from the server. */
const WORDS: Record<string, string> = {
  pool_empty: 'No staged session was free',
  hand_over_failed: 'Its hand-over failed',
  no_capacity: 'Not enough capacity',
  no_disk: 'Too little disk free',
  agent_missing: 'Its Agents were missing',
  agent_disabled: 'Its Agents were disabled or draining',
  image_disabled: 'The workspace was disabled',
  image_unavailable: 'No Agent had the image',
  zone_not_searched: 'Its zone was not searched',
  restricted: 'Its zone was not allowed',
  busy: 'Too many launches at once',
  served_elsewhere: 'Another pool comes first',
  start_failed: 'It could not be started there',
  no_request_host: 'Its zone asks for the host of the launch',
  persistent_profile: 'Persistent profile',
  image_volume_mapping: 'Volume of the workspace, one for each user',
  expose_user_environment_vars: 'Environment variables of the user',
  inject_ssh_keys: 'SSH keys of the user',
  run_config: 'Docker run config of a group',
  volume_mapping: 'Volume of a group',
  web_filter_policy: 'Web filter of a group',
  permissions: 'Other permissions than the pool',
  language_or_timezone: 'Language or time zone of the user',
  launch_options: 'Options of the launch',
};

/** The code of a step or a miss as people read it; codes of a newer server as they are. */
export function wordsOf(code: string): string {
  return WORDS[code] ?? code.replaceAll('_', ' ');
}
