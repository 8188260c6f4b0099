/** The nouns of `/api/v1` as the console uses them (CONTRACT "Two HTTP interfaces"). Times are ISO 8601, memory is bytes. */

export type Uuid = string;
export type Time = string;

export interface Me {
  user: User;
  permissions: string[];
}

export interface Session {
  session_id: Uuid;
  user_id: Uuid | null;
  username: string | null;
  staging_config_id: Uuid | null;
  image_id: Uuid;
  image_friendly_name?: string | null;
  zone_id: Uuid;
  zone_name: string;
  agent_id: Uuid | null;
  status: string;
  operational_status: string;
  operational_message?: string | null;
  created: Time;
  assigned: Time | null;
  expires: Time | null;
}

export interface Step {
  name: string;
  title: string;
  at: Time | null;
}

export interface Connection {
  session_id: Uuid;
  status: string;
  operational_status: string;
  operational_progress: number;
  operational_message: string;
  steps: Step[];
  frame_url: string | null;
  websocket_path: string | null;
}

export interface Shortfall {
  code: string;
  reason: string;
}

export const PERMISSION_FIELDS = [
  'allow_kasm_audio',
  'allow_kasm_clipboard_down',
  'allow_kasm_clipboard_up',
  'allow_kasm_downloads',
  'allow_kasm_uploads',
  'allow_kasm_microphone',
  'allow_kasm_gamepad',
  'allow_kasm_webcam',
] as const;

export type PermissionField = (typeof PERMISSION_FIELDS)[number];

export interface StagingConfig extends Record<PermissionField, boolean> {
  staging_config_id: Uuid;
  zone_id: Uuid;
  zone_name: string;
  image_id: Uuid;
  image_friendly_name: string;
  num_sessions: number;
  num_current_sessions: number;
  num_starting_sessions: number;
  expiration: number;
  paused: boolean;
  shortfall: Shortfall | null;
}

export interface Image {
  image_id: Uuid;
  name: string;
  friendly_name: string;
  description: string;
  image_src: string;
  enabled: boolean;
  available: boolean;
  cores: number;
  memory: number;
  memory_limit: number | null;
  categories: string[];
  zone_name: string | null;
  groups: Uuid[];
}

/** A workspace as the person who may start it sees it; `ready` = a staged session is waiting. */
export interface LauncherImage {
  image_id: Uuid;
  friendly_name: string;
  description: string;
  image_src: string;
  categories: string[];
  ready: boolean;
}

export interface Zone {
  zone_id: Uuid;
  zone_name: string;
  allow_origin_domain: string;
  upstream_auth_address: string;
  load_balancing_strategy: string;
  search_alternate_zones: boolean;
  proxy_connections: boolean;
  proxy_hostname: string;
  proxy_path: string;
  proxy_port: number;
}

export interface Manager {
  manager_id: Uuid;
  instance_id: string;
  hostname: string;
  version: string;
  enabled: boolean;
  first_reported: Time;
  last_reported: Time;
  zone_id: Uuid;
  zone_name: string;
  status: 'running' | 'unknown';
  is_primary: boolean;
  term: number | null;
}

export interface Agent {
  agent_id: Uuid;
  hostname: string;
  zone_id: Uuid;
  zone_name: string;
  status: string;
  enabled: boolean;
  manager_id: Uuid | null;
  manager_term: number;
  registered: Time;
  last_reported: Time | null;
  cores: number;
  memory: number;
  cores_allocated: number;
  memory_allocated: number;
  sessions: number;
}

export interface User {
  user_id: Uuid;
  username: string;
  first_name: string;
  last_name: string;
  realm: string;
  locked: boolean;
  disabled: boolean;
  groups: { group_id: Uuid; name: string }[];
  created: Time;
  last_session: Time | null;
  num_sessions: number;
}

export interface Group {
  group_id: Uuid;
  name: string;
  description: string;
  priority: number;
  is_system: boolean;
  permissions: string[];
  settings: Record<string, unknown>;
  images: Uuid[];
  num_users: number;
}

/** A setting that groups can have; `excludes_staging` = a user with it never gets a staged session. */
export interface Setting {
  name: string;
  kind: 'bool' | 'int' | 'float' | 'string' | 'choice' | 'mapping';
  default: unknown;
  unit: string;
  description: string;
  minimum: number | null;
  choices: string[];
  excludes_staging: boolean;
}

export interface ApiKey {
  key_id: string;
  name: string;
  permissions: string[];
  read_only: boolean;
  enabled: boolean;
  created: Time;
  expires: Time | null;
  last_used: Time | null;
}

export interface LogRow {
  time: Time;
  level: string;
  component: string;
  code: string;
  message: string;
  zone_name: string | null;
  session_id: Uuid | null;
  username: string | null;
  staging_config_id: Uuid | null;
  setting: string | null;
}

export interface ManagerRequest {
  time: Time;
  agent_id: Uuid | null;
  manager_instance_id: string;
  method: string;
  path: string;
  status: number;
  duration_ms: number;
  count?: number;
}
