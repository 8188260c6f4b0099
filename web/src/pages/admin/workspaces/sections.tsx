import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import {
  MultiSelect,
  NumberInput,
  PasswordInput,
  Select,
  SimpleGrid,
  Stack,
  Switch,
  TagsInput,
  Textarea,
  TextInput,
} from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, filterPoliciesQuery, groupsQuery, imagesQuery, settingsQuery } from '../../../api/queries';
import { useImagePreview } from '../../../api/previews';
import { AmountInput } from '../../../components/AmountInput';
import { Preview, RoomLine, UsersLine } from '../../../components/Preview';
import { JsonField } from '../../../components/JsonField';
import { Columns, Section } from '../../../components/Section';
import { useZoneChoices } from '../../../components/useZoneChoices';
import type { Image } from '../../../api/types';
import type { WorkspaceFields } from './fields';
import { HomeField } from './HomeField';
import { NodeFields } from './NodeFields';
import { PictureChoice } from './PictureChoice';
import { PictureField } from './PictureField';
import { runConfigOf } from './runConfig';
import { ThumbnailField } from './ThumbnailField';

interface Props {
  form: WorkspaceFields;
}

export function GeneralFields({ form, image }: Props & { image: Image | null }) {
  const images = useQuery(imagesQuery);
  const known = [...new Set((images.data ?? []).flatMap(({ categories }) => categories))].sort();
  return (
    <Section title={t`General`}>
      <Columns>
        <TextInput
          label={t`Friendly Name`}
          description={t`The name that users see`}
          required
          data-autofocus
          {...form.getInputProps('friendly_name')}
        />
        <TextInput
          label={t`Thumbnail URL`}
          description={t`The path of a picture on this server; the choice of a picture below fills it in`}
          {...form.getInputProps('image_src')}
        />
      </Columns>
      <PictureChoice form={form} />
      {image && <ThumbnailField image={image} form={form} />}
      <Textarea label={t`Description`} autosize minRows={1} {...form.getInputProps('description')} />
      <TagsInput
        label={t`Categories`}
        description={t`The launcher filters workspaces by category; press Enter after each category`}
        data={known}
        {...form.getInputProps('categories')}
      />
      <Textarea
        label={t`Notes`}
        description={t`For administrators; users do not see them`}
        autosize
        minRows={1}
        {...form.getInputProps('notes')}
      />
    </Section>
  );
}

/** The preview of the size, the placement and the groups; undefined while a number is missing. */
function usePreviewOf(form: WorkspaceFields) {
  const fields = form.getValues();
  const { cores, memory, cpu_allocation_method, groups, restrict_to_zone, restrict_to_server } = fields;
  const runtime = runConfigOf(form).config.runtime;
  const isComplete = [cores, memory].every((value: unknown) => typeof value === 'number' && value > 0);
  return useImagePreview(
    isComplete
      ? {
          cores,
          memory,
          cpu_allocation_method,
          groups,
          runtime_class: typeof runtime === 'string' ? runtime : '',
          zone_id: (restrict_to_zone && fields.zone_id) || null,
          server_id: (restrict_to_server && fields.server_id) || null,
        }
      : null,
  );
}

const METHODS: Record<string, string> = { Shares: t`Shares`, Quotas: t`Quotas` };

export function ContainerFields({ form }: Props) {
  const preview = usePreviewOf(form);
  const settings = useQuery({ ...settingsQuery, enabled: useAllowed()('settings_view') });
  const method = settings.data?.find(({ name }) => name === 'default_cpu_allocation_method')?.value;
  const inherited = typeof method === 'string' ? (METHODS[method] ?? method) : null;
  return (
    <Section title={t`Container`}>
      <TextInput
        label={t`Docker Image`}
        description={t`Name and tag, e.g. greenroom/desktop:xfce`}
        required
        {...form.getInputProps('name')}
      />
      <Select
        label={t`Pull Policy`}
        description={t`How often Agents check the registry for a newer image of the tag`}
        data={[
          { value: 'missing', label: t`Missing: no checks; only hosts without the image pull the image` },
          { value: 'daily', label: t`Daily` },
          { value: 'always', label: t`Always: every 15 minutes` },
        ]}
        allowDeselect={false}
        {...form.getInputProps('pull_policy')}
      />
      <SimpleGrid cols={{ base: 1, sm: 3 }} verticalSpacing="sm">
        <TextInput
          label={t`Docker Registry`}
          description={t`Empty = the registry in the name`}
          autoComplete="off"
          {...form.getInputProps('docker_registry')}
        />
        <TextInput
          label={t`Registry Username`}
          description={t`Empty = no log-in`}
          autoComplete="off"
          {...form.getInputProps('docker_user')}
        />
        <PasswordInput
          label={t`Registry Password`}
          description={t`Never shown; empty = unchanged`}
          autoComplete="new-password"
          {...form.getInputProps('docker_token')}
        />
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} verticalSpacing="sm">
        <AmountInput
          label={t`Cores`}
          description={t`Reserved for a session`}
          required
          unit="cores"
          {...form.getInputProps('cores')}
        />
        <AmountInput
          label={t`Memory`}
          description={t`Reserved for a session`}
          required
          unit="B"
          {...form.getInputProps('memory')}
        />
        <AmountInput
          label={t`Memory limit`}
          description={t`Empty = the reserved memory`}
          unit="B"
          {...form.getInputProps('memory_limit')}
        />
        <AmountInput
          label={t`Disk limit`}
          description={t`Maximum disk use of a session; empty = no limit`}
          unit="B"
          {...form.getInputProps('disk_limit_bytes')}
        />
        <Select
          label={t`CPU Allocation Method`}
          description={t`Shares: a session may use more than its reserved cores while the host is idle. Quotas: a session never uses more than its reserved cores. Inherit: as in the setting Default CPU allocation method`}
          data={[
            { value: 'Inherit', label: inherited ? t`Inherit (${inherited})` : t`Inherit` },
            ...Object.entries(METHODS).map(([value, label]) => ({ value, label })),
          ]}
          allowDeselect={false}
          {...form.getInputProps('cpu_allocation_method')}
        />
      </SimpleGrid>
      <Preview>
        <RoomLine room={preview?.room} />
      </Preview>
    </Section>
  );
}

export function PageFields({ form }: Props) {
  return (
    <Section
      title={t`Page`}
      note={t`The web page in the container that shows the session to its user. These fields are set automatically for kasmweb and linuxserver images.`}
    >
      <SimpleGrid cols={{ base: 1, sm: 3 }} verticalSpacing="sm">
        <NumberInput
          label={t`Port`}
          description={t`The port of the page in the container`}
          required
          {...form.getInputProps('port')}
        />
        <Select
          label={t`Protocol`}
          description={t`The protocol of the page`}
          data={['https', 'http']}
          allowDeselect={false}
          {...form.getInputProps('protocol')}
        />
        <TextInput
          label={t`Username for the page`}
          description={t`The username for basic authentication`}
          {...form.getInputProps('auth_user')}
        />
        <TextInput
          label={t`Path of the page`}
          description={t`The path of the page in the container, e.g. / or /vnc/. For a program with a configurable base URL, such as Jupyter, enter /${{ path: '{path}' }}/ literally; Greenroom replaces ${{ path: '{path}' }} with the path of the session`}
          required
          {...form.getInputProps('page_path')}
        />
        <TextInput
          label={t`Start page`}
          description={t`The browser opens this path below the folder, e.g. lab; empty = the folder itself`}
          {...form.getInputProps('start_page')}
        />
        <TextInput
          label={t`Readiness path`}
          description={t`A path below the folder that must respond before a session is usable, e.g. health; empty = the start page`}
          {...form.getInputProps('ready_path')}
        />
      </SimpleGrid>
      <JsonField
        label={t`Port Map`}
        description={t`The ports of the container, or the paths of the page, at which the image serves sound, files and devices. A user needs the session permission of each service, e.g. Audio`}
        placeholder={'{ "audio": 4901, "uploads": 4902, "downloads": "Downloads" }'}
        {...form.getInputProps('port_map')}
      />
    </Section>
  );
}

export function AccessFields({ form }: Props) {
  const preview = usePreviewOf(form);
  const hasGroups = form.getValues().groups.length > 0;
  const groups = useQuery(groupsQuery);
  return (
    <Section title={t`Access`}>
      <Columns>
        <Switch
          label={t`Enabled`}
          description={t`Off: users cannot launch the workspace, and Agents do not pull its image`}
          {...form.getInputProps('enabled', { type: 'checkbox' })}
        />
        <Switch
          label={t`Hide on Dashboard`}
          description={t`The launcher, which is the start page of users, does not show the workspace; programs can still launch it`}
          {...form.getInputProps('hidden', { type: 'checkbox' })}
        />
      </Columns>
      <MultiSelect
        label={t`Groups`}
        description={t`Their members may launch the workspace. A new workspace without groups is assigned to All Users`}
        searchable
        data={(groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }))}
        {...form.getInputProps('groups')}
      />
      <Preview>
        {preview && hasGroups && (
          <UsersLine users={preview.users}>
            <Trans>
              {{ users: preview.users }} of <Plural value={{ total: preview.all_users }} one="# user" other="# users" />{' '}
              can launch this workspace
            </Trans>
          </UsersLine>
        )}
      </Preview>
    </Section>
  );
}

export function PlacementFields({ form }: Props) {
  const zones = useZoneChoices();
  const agents = useQuery(agentsQuery);
  const { restrict_to_zone: inZone, restrict_to_server: onAgent, zone_id, server_id } = form.getValues();
  return (
    <Section title={t`Placement`}>
      <Columns>
        <Stack gap="xs">
          <Switch label={t`Restrict to zone`} {...form.getInputProps('restrict_to_zone', { type: 'checkbox' })} />
          <Select
            aria-label={t`Zone`}
            placeholder={t`Any zone`}
            disabled={!inZone}
            data={zones.choices}
            {...form.getInputProps('zone_id')}
            value={zone_id || null}
          />
        </Stack>
        <Stack gap="xs">
          <Switch label={t`Restrict to Agent`} {...form.getInputProps('restrict_to_server', { type: 'checkbox' })} />
          <Select
            aria-label={t`Agent`}
            placeholder={t`Any Agent`}
            disabled={!onAgent}
            data={(agents.data ?? []).map((agent) => ({
              value: agent.agent_id,
              label: `${agent.hostname} (${agent.zone_name}, ${agent.agent_id.slice(0, 8)})`,
            }))}
            {...form.getInputProps('server_id')}
            value={server_id || null}
          />
        </Stack>
        <NodeFields form={form} />
      </Columns>
    </Section>
  );
}

export function SessionFields({ form }: Props) {
  const policies = useQuery({ ...filterPoliciesQuery, enabled: useAllowed()('webfilters_view') });
  return (
    <Section title={t`Sessions`}>
      <Columns>
        <AmountInput
          label={t`Session Time Limit`}
          description={t`The maximum duration of a session; empty or 0 = only the limit of the groups applies. If both have a limit, the shorter limit applies.`}
          unit="s"
          {...form.getInputProps('session_time_limit')}
        />
        <HomeField form={form} />
        <Select
          label={t`Web Filter Policy`}
          description={t`The sites that sessions may open; also applies to staged sessions`}
          placeholder={t`None: every site`}
          searchable
          clearable
          clearButtonProps={{ 'aria-label': t`No policy` }}
          data={(policies.data ?? []).map((policy) => ({ value: policy.filter_policy_id, label: policy.name }))}
          {...form.getInputProps('filter_policy_id')}
          value={form.getValues().filter_policy_id || null}
          onChange={(value: string | null) => form.setFieldValue('filter_policy_id', value ?? '')}
        />
        <Switch
          mt="lg"
          label={t`Disable web filters`}
          description={t`Sessions have no filter, even if the workspace or a group of the user has a policy`}
          {...form.getInputProps('filter_policy_force_disabled', { type: 'checkbox' })}
        />
        <Switch
          mt="lg"
          label={t`Allow launch variables`}
          description={t`A launch can set environment variables of the container. Variables can start other programs, so turn this off to limit users to the program of this workspace`}
          {...form.getInputProps('allow_launch_variables', { type: 'checkbox' })}
        />
        <Switch
          mt="lg"
          label={t`Record sessions`}
          description={t`Record the screen of all sessions as a video. All viewers see an announcement. A session that cannot be recorded is ended`}
          {...form.getInputProps('record_sessions', { type: 'checkbox' })}
        />
        <PictureField form={form} />
      </Columns>
    </Section>
  );
}

export function ConfigFields({ form }: Props) {
  return (
    <Section title={t`Docker configuration (JSON)`}>
      <JsonField
        label={t`Docker Run Config Override`}
        description={t`Options of the container. Options that weaken its isolation are refused`}
        placeholder={'{ "hostname": "desk", "environment": { "LANG": "de_DE.UTF-8" } }'}
        {...form.getInputProps('run_config')}
      />
      <JsonField
        label={t`Docker Exec Config`}
        description={t`Commands that run in the container. first_launch runs once after the start of the container. assign runs when a user gets a staged session. go runs when a program opens a web address in a running session. Each command has cmd, and optionally user, environment and workdir`}
        placeholder={'{ "assign": { "cmd": "/opt/welcome.sh" } }'}
        {...form.getInputProps('exec_config')}
      />
      <JsonField
        label={t`Volume Mappings`}
        description={t`Folders of the host that are mounted in the container. ${{ username: '{username}' }} and ${{ userId: '{user_id}' }} stand for the values of the user. Users get no staged session if a mapping contains ${{ username: '{username}' }} or ${{ userId: '{user_id}' }}`}
        placeholder={'{ "/srv/share": { "bind": "/share", "mode": "ro" } }'}
        {...form.getInputProps('volume_mappings')}
      />
    </Section>
  );
}
