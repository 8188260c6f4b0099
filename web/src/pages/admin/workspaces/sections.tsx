import {
  Fieldset,
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
import type { ReactNode } from 'react';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, filterPoliciesQuery, groupsQuery, imagesQuery } from '../../../api/queries';
import { JsonField } from '../../../components/JsonField';
import { useZoneChoices } from '../../../components/useZoneChoices';
import type { Image } from '../../../api/types';
import type { WorkspaceFields } from './fields';
import { HomeField } from './HomeField';
import { NodeFields } from './NodeFields';
import { PictureField } from './PictureField';
import { ThumbnailField } from './ThumbnailField';

interface Props {
  form: WorkspaceFields;
}

function Section({ title, children }: { title: string; children: ReactNode }) {
  return (
    <Fieldset legend={title}>
      <Stack gap="sm">{children}</Stack>
    </Fieldset>
  );
}

function Columns({ children }: { children: ReactNode }) {
  return (
    <SimpleGrid cols={{ base: 1, sm: 2 }} verticalSpacing="sm">
      {children}
    </SimpleGrid>
  );
}

export function GeneralFields({ form, image }: Props & { image: Image | null }) {
  const images = useQuery(imagesQuery);
  const known = [...new Set((images.data ?? []).flatMap(({ categories }) => categories))].sort();
  return (
    <Section title="General">
      <Columns>
        <TextInput label="Friendly Name" required data-autofocus {...form.getInputProps('friendly_name')} />
        <TextInput
          label="Thumbnail URL"
          description="A picture on this server, e.g. /img/terminal.svg"
          {...form.getInputProps('image_src')}
        />
      </Columns>
      {image && <ThumbnailField image={image} form={form} />}
      <Textarea label="Description" autosize minRows={1} {...form.getInputProps('description')} />
      <TagsInput
        label="Categories"
        description="The launcher sorts workspaces by them; press Enter after each"
        data={known}
        {...form.getInputProps('categories')}
      />
      <Textarea
        label="Notes"
        description="For administrators; users do not see them"
        autosize
        minRows={1}
        {...form.getInputProps('notes')}
      />
    </Section>
  );
}

export function ContainerFields({ form }: Props) {
  return (
    <Section title="Container">
      <TextInput
        label="Docker Image"
        description="Name and tag, e.g. greenroom/desktop:xfce. Of kasmweb and linuxserver images the page is set by itself."
        required
        {...form.getInputProps('name')}
      />
      <Select
        label="Pull Policy"
        description="When Agents ask the registry for an image that they have: a tag may have moved"
        data={[
          { value: 'missing', label: 'Missing: never' },
          { value: 'daily', label: 'Daily' },
          { value: 'always', label: 'Always: every 15 minutes' },
        ]}
        allowDeselect={false}
        {...form.getInputProps('pull_policy')}
      />
      <SimpleGrid cols={{ base: 1, sm: 3 }} verticalSpacing="sm">
        <TextInput
          label="Docker Registry"
          description="Empty = as in the name"
          autoComplete="off"
          {...form.getInputProps('docker_registry')}
        />
        <TextInput
          label="Registry Username"
          description="Empty = without log-in"
          autoComplete="off"
          {...form.getInputProps('docker_user')}
        />
        <PasswordInput
          label="Registry Password"
          description="Never shown; empty = as it is"
          autoComplete="new-password"
          visibilityToggleButtonProps={{ 'aria-label': 'Show the password' }}
          {...form.getInputProps('docker_token')}
        />
      </SimpleGrid>
      <SimpleGrid cols={{ base: 1, xs: 2, lg: 4 }} verticalSpacing="sm">
        <NumberInput
          label="Cores"
          description="Reserved for a session"
          required
          min={0.1}
          step={0.5}
          decimalScale={2}
          {...form.getInputProps('cores')}
        />
        <NumberInput
          label="Memory (MB)"
          description="Reserved for a session"
          required
          min={1}
          {...form.getInputProps('memory_mb')}
        />
        <NumberInput
          label="Memory limit (MB)"
          description="Empty = what is reserved"
          min={1}
          {...form.getInputProps('memory_limit_mb')}
        />
        <NumberInput
          label="Disk limit (GB)"
          description="Most a session may write; empty = any amount"
          min={0.2}
          step={1}
          decimalScale={2}
          {...form.getInputProps('disk_limit_gb')}
        />
        <Select
          label="CPU Allocation Method"
          description="Shares: more when idle; Quotas: never more"
          data={['Inherit', 'Shares', 'Quotas']}
          allowDeselect={false}
          {...form.getInputProps('cpu_allocation_method')}
        />
      </SimpleGrid>
    </Section>
  );
}

export function PageFields({ form }: Props) {
  return (
    <Section title="Page">
      <SimpleGrid cols={{ base: 1, sm: 3 }} verticalSpacing="sm">
        <NumberInput
          label="Port"
          description="Of the web page inside the container"
          required
          min={1}
          max={65_535}
          allowDecimal={false}
          {...form.getInputProps('port')}
        />
        <Select
          label="Protocol"
          description="Of that page"
          data={['https', 'http']}
          allowDeselect={false}
          {...form.getInputProps('protocol')}
        />
        <TextInput
          label="User of the page"
          description="For its basic authentication"
          {...form.getInputProps('auth_user')}
        />
        <TextInput
          label="Folder of the page"
          description="/ or like /vnc/; /{path}/ where it has to know its path here"
          required
          {...form.getInputProps('page_path')}
        />
        <TextInput
          label="Start page"
          description="Opened below it, e.g. lab; empty = the folder itself"
          {...form.getInputProps('start_page')}
        />
        <TextInput
          label="Ready when this answers"
          description="Below it, e.g. health; empty = the page"
          {...form.getInputProps('ready_path')}
        />
      </SimpleGrid>
      <JsonField
        label="Port Map"
        description="Sound, files and devices that the image serves on further ports or at addresses of the page, each behind its permission"
        placeholder={'{ "audio": 4901, "uploads": 4902, "downloads": "Downloads" }'}
        {...form.getInputProps('port_map')}
      />
    </Section>
  );
}

export function AccessFields({ form }: Props) {
  const groups = useQuery(groupsQuery);
  return (
    <Section title="Access">
      <Columns>
        <Switch
          label="Enabled"
          description="Off: no user can launch it, and Agents do not pull it"
          {...form.getInputProps('enabled', { type: 'checkbox' })}
        />
        <Switch
          label="Hide on Dashboard"
          description="Not on the launcher; programs may still launch it"
          {...form.getInputProps('hidden', { type: 'checkbox' })}
        />
      </Columns>
      <MultiSelect
        label="Groups"
        description="Whose members may launch it; a new workspace without any is for All Users"
        searchable
        data={(groups.data ?? []).map(({ group_id, name }) => ({ value: group_id, label: name }))}
        {...form.getInputProps('groups')}
      />
    </Section>
  );
}

export function PlacementFields({ form }: Props) {
  const zones = useZoneChoices();
  const agents = useQuery(agentsQuery);
  const { restrict_to_zone: inZone, restrict_to_server: onAgent, zone_id, server_id } = form.getValues();
  return (
    <Section title="Placement">
      <Columns>
        <Stack gap="xs">
          <Switch label="Restrict to zone" {...form.getInputProps('restrict_to_zone', { type: 'checkbox' })} />
          <Select
            aria-label="Zone"
            placeholder="Any zone"
            disabled={!inZone}
            data={zones.choices}
            {...form.getInputProps('zone_id')}
            value={zone_id || null}
          />
        </Stack>
        <Stack gap="xs">
          <Switch label="Restrict to Agent" {...form.getInputProps('restrict_to_server', { type: 'checkbox' })} />
          <Select
            aria-label="Agent"
            placeholder="Any Agent"
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
    <Section title="Sessions">
      <Columns>
        <NumberInput
          label="Session Time Limit (s)"
          description="Longest life of a session; empty = that of the groups, 0 = none. The shorter one holds."
          min={0}
          allowDecimal={false}
          {...form.getInputProps('session_time_limit')}
        />
        <HomeField form={form} />
        <Select
          label="Web Filter Policy"
          description="Sites its sessions may open; staged sessions have it, too"
          placeholder="None: every site"
          searchable
          clearable
          clearButtonProps={{ 'aria-label': 'No policy' }}
          data={(policies.data ?? []).map((policy) => ({ value: policy.filter_policy_id, label: policy.name }))}
          {...form.getInputProps('filter_policy_id')}
          value={form.getValues().filter_policy_id || null}
          onChange={(value: string | null) => form.setFieldValue('filter_policy_id', value ?? '')}
        />
        <Switch
          mt="lg"
          label="Disable web filters"
          description="No filter of a group holds for this workspace either"
          {...form.getInputProps('filter_policy_force_disabled', { type: 'checkbox' })}
        />
        <Switch
          mt="lg"
          label="Allow launch variables"
          description="Off where users get one application only: variables can start other programs"
          {...form.getInputProps('allow_launch_variables', { type: 'checkbox' })}
        />
        <PictureField form={form} />
      </Columns>
    </Section>
  );
}

export function ConfigFields({ form }: Props) {
  return (
    <Section title="Docker configuration (JSON)">
      <JsonField
        label="Docker Run Config Override"
        description="Options of the container; what would weaken its isolation is refused"
        placeholder={'{ "hostname": "desk", "environment": { "LANG": "de_DE.UTF-8" } }'}
        {...form.getInputProps('run_config')}
      />
      <JsonField
        label="Docker Exec Config"
        description="Commands at first_launch, go and assign, each with cmd, and user, environment, workdir as wanted"
        placeholder={'{ "assign": { "cmd": "/opt/welcome.sh" } }'}
        {...form.getInputProps('exec_config')}
      />
      <JsonField
        label="Volume Mappings"
        description="Folders of the host in the container; {username} and {user_id} stand for the user and exclude staging"
        placeholder={'{ "/srv/share": { "bind": "/share", "mode": "ro" } }'}
        {...form.getInputProps('volume_mappings')}
      />
    </Section>
  );
}
