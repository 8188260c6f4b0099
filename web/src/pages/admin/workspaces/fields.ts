import type { UseFormReturnType } from '@mantine/form';
import type { Image, Schemas } from '../../../api/types';
import { jsonProblem, jsonText, parsedJson } from '../../../components/json';

type Body = Required<Schemas['ImagePatch']>;

/** The fields of the form that hold JSON, as the api names them. */
export const JSON_FIELDS = ['port_map', 'run_config', 'exec_config', 'volume_mappings'] as const;
type JsonField = (typeof JSON_FIELDS)[number];

/** The persistent profile path for homes that Greenroom keeps. */
export const KEPT_HOMES = '{homes}';

/** The values of the form: memory in MB, JSON as text, missing values as empty texts. */
export type Fields = Omit<
  Body,
  JsonField | 'memory' | 'memory_limit' | 'disk_limit_bytes' | 'docker_token' | Unshown | Nullable
> &
  Record<JsonField, string> &
  Record<Nullable, string> & {
    memory_mb: number;
    memory_limit_mb: number | '';
    disk_limit_gb: number | '';
    docker_token: string;
    session_time_limit: number | '';
  };

/** The form with these fields. */
export type WorkspaceFields = UseFormReturnType<Fields>;

type Nullable = 'persistent_profile_path' | 'zone_id' | 'server_id' | 'filter_policy_id';
type Unshown = 'session_time_limit' | 'persistent_profile_config';

const MB = 1_000_000;
const GB = 1_000_000_000;

const NEW: Fields = {
  name: '',
  friendly_name: '',
  description: '',
  image_src: '',
  enabled: true,
  hidden: false,
  cores: 2,
  memory_mb: 2768,
  memory_limit_mb: '',
  disk_limit_gb: 10,
  cpu_allocation_method: 'Inherit',
  pull_policy: 'missing',
  docker_registry: '',
  docker_user: '',
  docker_token: '',
  port: 6901,
  protocol: 'https',
  auth_user: 'kasm_user',
  page_path: '/',
  start_page: '',
  ready_path: '',
  port_map: '',
  run_config: '',
  exec_config: '',
  volume_mappings: '',
  categories: [],
  persistent_profile_path: '',
  restrict_to_zone: false,
  zone_id: '',
  restrict_to_server: false,
  server_id: '',
  session_time_limit: '',
  filter_policy_id: '',
  filter_policy_force_disabled: false,
  allow_launch_variables: true,
  record_sessions: false,
  notes: '',
  groups: [],
};

/** The initial values of the form. Sizes are rounded, but only edited sizes are saved. The token of the registry is never shown. */
export function fieldsOf(image: Image | null): Fields {
  if (!image) return NEW;
  const same = Object.keys(NEW).filter((name) => name in image) as (keyof Image & keyof Fields)[];
  return {
    ...NEW,
    ...Object.fromEntries(same.map((name) => [name, image[name] ?? ''])),
    ...Object.fromEntries(JSON_FIELDS.map((name) => [name, jsonText(image[name])])),
    memory_mb: Math.round(image.memory / MB),
    memory_limit_mb: image.memory_limit === null ? '' : Math.round(image.memory_limit / MB),
    disk_limit_gb: image.disk_limit_bytes === null ? '' : Math.round((100 * image.disk_limit_bytes) / GB) / 100,
  };
}

/** The request for the fields. Throws if a JSON field is invalid. */
export function bodyOf(fields: Fields): Schemas['ImageCreate'] {
  const { memory_mb, memory_limit_mb, disk_limit_gb, docker_token, session_time_limit, ...rest } = fields;
  return {
    ...rest,
    port_map: parsedJson(fields.port_map),
    run_config: parsedJson(fields.run_config),
    exec_config: parsedJson(fields.exec_config),
    volume_mappings: parsedJson(fields.volume_mappings),
    memory: Math.round(memory_mb * MB),
    memory_limit: memory_limit_mb === '' ? null : Math.round(memory_limit_mb * MB),
    disk_limit_bytes: disk_limit_gb === '' ? null : Math.round(disk_limit_gb * GB),
    session_time_limit: session_time_limit === '' ? null : session_time_limit,
    persistent_profile_path: fields.persistent_profile_path || null,
    zone_id: fields.zone_id || null,
    server_id: fields.server_id || null,
    filter_policy_id: fields.filter_policy_id || null,
    ...(docker_token ? { docker_token } : {}),
  };
}

/** The checks that run during input. */
export const CHECKS = Object.fromEntries(JSON_FIELDS.map((name) => [name, jsonProblem])) as Record<
  JsonField,
  typeof jsonProblem
>;
