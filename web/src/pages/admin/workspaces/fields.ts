import type { UseFormReturnType } from '@mantine/form';
import type { Image, Schemas } from '../../../api/types';
import { checksOf } from '../../../components/checks';
import { jsonProblem, jsonText, parsedJson } from '../../../components/json';

type Body = Required<Schemas['ImagePatch']>;

/** The fields of the form that hold JSON, as the api names them. */
export const JSON_FIELDS = ['port_map', 'run_config', 'exec_config', 'volume_mappings'] as const;
type JsonField = (typeof JSON_FIELDS)[number];

/** The persistent profile path for homes that Greenroom keeps. */
export const KEPT_HOMES = '{homes}';

/** The values of the form: JSON as text, missing values as empty texts. */
export type Fields = Omit<Body, JsonField | OptionalNumber | 'docker_token' | Unshown | Nullable> &
  Record<JsonField, string> &
  Record<Nullable, string> &
  Record<OptionalNumber, number | ''> & { docker_token: string };

/** The form with these fields. */
export type WorkspaceFields = UseFormReturnType<Fields>;

type Nullable = 'persistent_profile_path' | 'zone_id' | 'server_id' | 'filter_policy_id';
type Unshown = 'persistent_profile_config';

/** Numbers that may be missing: no limit, or that of others. */
const OPTIONAL_NUMBERS = ['memory_limit', 'disk_limit_bytes', 'session_time_limit'] as const;
type OptionalNumber = (typeof OPTIONAL_NUMBERS)[number];

const NEW: Fields = {
  name: '',
  friendly_name: '',
  description: '',
  image_src: '',
  enabled: true,
  hidden: false,
  cores: 2,
  memory: 2_768_000_000,
  memory_limit: '',
  disk_limit_bytes: 10_000_000_000,
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

/** The initial values of the form. The token of the registry is never shown. */
export function fieldsOf(image: Image | null): Fields {
  if (!image) return NEW;
  const same = Object.keys(NEW).filter((name) => name in image) as (keyof Image & keyof Fields)[];
  return {
    ...NEW,
    ...Object.fromEntries(same.map((name) => [name, image[name] ?? ''])),
    ...Object.fromEntries(JSON_FIELDS.map((name) => [name, jsonText(image[name])])),
  };
}

/** The request for the fields. Throws if a JSON field is invalid. */
export function bodyOf(fields: Fields): Schemas['ImageCreate'] {
  const { docker_token, memory_limit, disk_limit_bytes, session_time_limit, ...rest } = fields;
  return {
    ...rest,
    port_map: parsedJson(fields.port_map),
    run_config: parsedJson(fields.run_config),
    exec_config: parsedJson(fields.exec_config),
    volume_mappings: parsedJson(fields.volume_mappings),
    memory_limit: memory_limit === '' ? null : memory_limit,
    disk_limit_bytes: disk_limit_bytes === '' ? null : disk_limit_bytes,
    session_time_limit: session_time_limit === '' ? null : session_time_limit,
    persistent_profile_path: fields.persistent_profile_path || null,
    zone_id: fields.zone_id || null,
    server_id: fields.server_id || null,
    filter_policy_id: fields.filter_policy_id || null,
    ...(docker_token ? { docker_token } : {}),
  };
}

/** The checks that run during input. */
export const CHECKS = {
  ...checksOf('ImageCreate', {
    optional: [...OPTIONAL_NUMBERS],
    units: { cores: 'cores', memory: 'B', memory_limit: 'B', disk_limit_bytes: 'B', session_time_limit: 's' },
  }),
  ...Object.fromEntries(JSON_FIELDS.map((name) => [name, jsonProblem])),
};
