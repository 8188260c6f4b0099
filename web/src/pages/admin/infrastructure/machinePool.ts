/** The form values of a machine pool and the request of the api. */

import { t } from '@lingui/core/macro';
import type { MachinePool, Schemas } from '../../../api/types';
import { jsonText, parsedJson } from '../../../components/json';

type Body = Omit<Schemas['MachinePoolCreate'], 'zone_id'>;
type Texts = Record<string, string>;

/** Sizes in bytes, times in seconds; texts of the provider by their names, its other options as JSON. */
export interface Fields {
  name: string;
  zone_id: string;
  provider: string;
  texts: Texts;
  options: string;
  secrets: Texts;
  other_secrets: string;
  cores: number;
  memory: number;
  min_machines: number;
  max_machines: number;
  standby_cores: number;
  standby_memory: number;
  idle_s: number;
  order_deadline_s: number;
  schedule: string;
  join_url: string;
  edge_url: string;
}

/** The label and the description of a field. */
interface FieldText {
  label: string;
  description: string;
}

interface ProviderText {
  label: string;
  /** Text options, by name. */
  texts: Record<string, FieldText>;
  /** Secrets of the provider, by name. */
  secrets: Record<string, FieldText>;
}

/** The providers that come with Greenroom. */
const PROVIDERS: Record<string, ProviderText> = {
  libcloud: {
    label: t`Libcloud: a cloud that Apache Libcloud supports`,
    texts: {
      driver: { label: t`Driver`, description: t`the cloud, by its name in Libcloud, e.g. ec2` },
      size: { label: t`Size`, description: t`the machine type of the cloud, e.g. m6i.2xlarge` },
      image: {
        label: t`Image`,
        description: t`the machine image of the cloud, with the operating system and Greenroom`,
      },
    },
    secrets: {
      key: { label: t`Key`, description: t`the first part of the credentials` },
      secret: { label: t`Secret`, description: t`the second part, if the cloud has one` },
    },
  },
  command: {
    label: t`Command: a program on the Managers’ machines`,
    texts: {
      program: {
        label: t`Program`,
        description: t`the absolute path of a program, which gets each request for machines`,
      },
    },
    secrets: {},
  },
  webhook: {
    label: t`Webhook: an address that you operate`,
    texts: { url: { label: t`URL`, description: t`the address that gets each request for machines` } },
    secrets: { token: { label: t`Token`, description: t`sent with each request, in the header Authorization` } },
  },
  simulated: { label: t`Simulated: no machine is created, and none joins`, texts: {}, secrets: {} },
};

/** The fields of a provider. A provider of another package has its options and secrets as JSON. */
export function textOf(provider: string): ProviderText {
  return PROVIDERS[provider] ?? { label: provider, texts: {}, secrets: {} };
}

/** The providers to choose from, including the provider of the pool. */
export function providersWith(provider: string): string[] {
  return [...new Set([...Object.keys(PROVIDERS), provider])];
}

const NEW: Fields = {
  name: '',
  zone_id: '',
  provider: 'libcloud',
  texts: {},
  options: '',
  secrets: {},
  other_secrets: '',
  cores: 8,
  memory: 32_000_000_000,
  min_machines: 0,
  max_machines: 1,
  standby_cores: 0,
  standby_memory: 0,
  idle_s: 900,
  order_deadline_s: 900,
  schedule: '',
  join_url: '',
  edge_url: 'https://{address}:8443',
};

/** The initial values of the form; secrets are never shown. */
export function fieldsOf(pool: MachinePool | null): Fields {
  if (!pool) return NEW;
  const named = textOf(pool.provider).texts;
  const entries = Object.entries(pool.options);
  const texts = entries.filter(([name, value]) => name in named && typeof value === 'string');
  return {
    ...NEW,
    name: pool.name,
    zone_id: pool.zone_id,
    provider: pool.provider,
    texts: Object.fromEntries(texts) as Texts,
    options: jsonText(Object.fromEntries(entries.filter((entry) => !texts.includes(entry)))),
    cores: pool.cores,
    memory: pool.memory,
    min_machines: pool.min_machines,
    max_machines: pool.max_machines,
    standby_cores: pool.standby_cores,
    standby_memory: pool.standby_memory,
    idle_s: pool.idle_s,
    order_deadline_s: pool.order_deadline_s,
    schedule: pool.schedule.join('\n'),
    join_url: pool.join_url,
    edge_url: pool.edge_url,
  };
}

/** The request for the fields. It has secrets only if some were entered, then all of them. Throws on invalid JSON. */
export function bodyOf(fields: Fields): Body {
  const { texts: names, secrets: known } = textOf(fields.provider);
  const typed = { ...picked(fields.secrets, known), ...(parsedJson(fields.other_secrets) as Texts) };
  return {
    name: fields.name,
    provider: fields.provider,
    options: { ...parsedJson(fields.options), ...picked(fields.texts, names) },
    ...(Object.keys(typed).length > 0 ? { secrets: typed } : {}),
    cores: fields.cores,
    memory: fields.memory,
    min_machines: fields.min_machines,
    max_machines: fields.max_machines,
    standby_cores: fields.standby_cores,
    standby_memory: fields.standby_memory,
    idle_s: fields.idle_s,
    order_deadline_s: fields.order_deadline_s,
    schedule: fields.schedule.split('\n').filter((line) => line.trim()),
    join_url: fields.join_url,
    edge_url: fields.edge_url,
  };
}

/** The entries of `texts` that are named and not empty. */
function picked(texts: Texts, names: Record<string, FieldText>): Texts {
  return Object.fromEntries(Object.entries(texts).filter(([name, text]) => name in names && text !== ''));
}
