/** The nouns of `/api/v1` as the console calls them. Times are ISO 8601, memory is bytes. */

import type { components } from '../generated/schema';

export type Schemas = components['schemas'];
export type Uuid = string;
export type Time = string;

export type Agent = Schemas['AgentView'];
export type ApiKey = Schemas['KeyView'];
export type Group = Schemas['GroupView'];
export type Image = Schemas['ImageView'];
export type LauncherImage = Schemas['LauncherImage'];
export type LogRow = Schemas['LogView'];
export type Manager = Schemas['ManagerView'];
export type ManagerRequest = Schemas['ManagerRequestView'];
export type Me = Schemas['Me'];
export type Setting = Schemas['SettingView'];
export type User = Schemas['UserView'];
export type Zone = Schemas['ZoneView'];

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
