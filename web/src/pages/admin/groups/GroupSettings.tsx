import { Alert, Group as Row, Select, SimpleGrid, Skeleton, Stack, Text, TextInput } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconSearch } from '@tabler/icons-react';
import { useState } from 'react';
import { useAllowed } from '../../../api/auth';
import { messageOf } from '../../../api/client';
import {
  filterPoliciesQuery,
  groupSettingsQuery,
  imagesQuery,
  inheritedSettingsQuery,
  usersQuery,
  userSettingsQuery,
} from '../../../api/queries';
import type { Group } from '../../../api/types';
import { useAddressText } from '../../../components/tableState';
import { GroupSetting } from './GroupSetting';

/** The settings of one group, with its own or the inherited values. */
export function GroupSettings({ group, disabled }: { group: Group; disabled: boolean }) {
  const settings = useQuery({ ...groupSettingsQuery, refetchInterval: false });
  const inherited = useQuery(inheritedSettingsQuery(group.group_id));
  const error = settings.error ?? inherited.error;
  const [search, setSearch] = useAddressText('q');
  const [userId, setUserId] = useState<string | null>(null);
  const effective = useQuery({ ...userSettingsQuery(userId ?? ''), enabled: userId !== null });
  const traces = new Map(userId ? effective.data?.map(({ name, trace }) => [name, trace]) : []);
  const known = useKnownNames();
  const words = search.toLowerCase().split(/\s+/);
  const shown =
    inherited.data &&
    settings.data?.filter(({ name, description }) =>
      words.every((word) =>
        `${name} ${description} ${name in group.settings ? 'set' : ''}`.toLowerCase().includes(word),
      ),
    );
  return (
    <Stack gap="sm">
      <SimpleGrid cols={{ base: 1, sm: 2 }}>
        <TextInput
          aria-label="Search settings"
          placeholder="Search settings"
          leftSection={<IconSearch size={16} aria-hidden />}
          value={search}
          onChange={(event) => setSearch(event.currentTarget.value)}
        />
        <UserChoice userId={userId} onChange={setUserId} />
      </SimpleGrid>
      {!shown && !error && <Skeleton h={300} />}
      {error && (
        <Alert color="red" variant="light">
          {messageOf(error)}
        </Alert>
      )}
      {shown?.map((setting) => (
        <GroupSetting
          key={setting.name}
          group={group}
          setting={setting}
          inherited={inherited.data?.find(({ name }) => name === setting.name)}
          disabled={disabled}
          trace={traces.get(setting.name)}
          known={known[setting.name]}
        />
      ))}
      {shown?.length === 0 && (
        <Text ta="center" py="xl" c="dimmed" size="sm">
          No setting matches “{search}”.
        </Text>
      )}
    </Stack>
  );
}

/** The user whose effective values are shown next to those of the group. */
function UserChoice({ userId, onChange }: { userId: string | null; onChange: (id: string | null) => void }) {
  const may = useAllowed()('users_view');
  const users = useQuery({ ...usersQuery, enabled: may });
  if (!may) return null;
  return (
    <Row>
      <Select
        flex={1}
        aria-label="Show the effective settings of a user"
        placeholder="Show the effective settings of a user"
        searchable
        clearable
        clearButtonProps={{ 'aria-label': 'No user' }}
        data={(users.data ?? []).map(({ user_id, username }) => ({ value: user_id, label: username }))}
        value={userId}
        onChange={onChange}
      />
    </Row>
  );
}

/** The existing names for settings whose value is a name. */
function useKnownNames(): Record<string, string[]> {
  const allowed = useAllowed();
  const policies = useQuery({ ...filterPoliciesQuery, enabled: allowed('webfilters_view') });
  const images = useQuery({ ...imagesQuery, enabled: allowed('images_view') });
  return {
    web_filter_policy: policies.data?.map(({ name }) => name) ?? [],
    default_image: images.data?.map(({ friendly_name }) => friendly_name) ?? [],
  };
}
