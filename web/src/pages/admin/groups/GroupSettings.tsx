import { t } from '@lingui/core/macro';
import { Alert, Select, Skeleton } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { changeGroupSettings, testGroupSettings } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { messageOf } from '../../../api/client';
import {
  filterPoliciesQuery,
  groupQuery,
  groupSettingsQuery,
  imagesQuery,
  inheritedSettingsQuery,
  usersQuery,
  userSettingsQuery,
} from '../../../api/queries';
import type { Group, InheritedSetting, Setting } from '../../../api/types';
import { shownValue } from '../../../components/settings/items';
import { SettingsForm } from '../../../components/settings/SettingsForm';

/** The settings of one group, with its own or the inherited values. */
export function GroupSettings({ group, disabled }: { group: Group; disabled: boolean }) {
  const queries = useQueryClient();
  const settings = useQuery({ ...groupSettingsQuery, refetchInterval: false });
  const inherited = useQuery(inheritedSettingsQuery(group.group_id));
  const [userId, setUserId] = useState<string | null>(null);
  const effective = useQuery({ ...userSettingsQuery(userId ?? ''), enabled: userId !== null });
  const known = useKnownNames();
  const error = settings.error ?? inherited.error;
  if (error)
    return (
      <Alert color="red" variant="light">
        {messageOf(error)}
      </Alert>
    );
  if (!settings.data || !inherited.data) return <Skeleton h={300} />;
  const fallbacks = new Map(inherited.data.map((each) => [each.name, each]));
  const traces = new Map(userId ? effective.data?.map(({ name, trace }) => [name, trace]) : []);
  const read = async () => {
    const present = await queries.query({ ...groupQuery(group.group_id), staleTime: 0 });
    return Object.fromEntries(settings.data.map(({ name }) => [name, present.settings[name] ?? null]));
  };
  return (
    <SettingsForm
      items={settings.data.map((setting) => {
        const fallback = fallbacks.get(setting.name);
        return {
          setting,
          own: group.settings[setting.name] ?? null,
          inherited: fallback ? fallback.value : setting.default,
          source: (hasOwn) => fallback && sourceOf(setting, fallback, hasOwn),
          note: traces.get(setting.name),
          known: known[setting.name],
        };
      })}
      fallback="Inherit"
      disabled={disabled}
      save={(changes) => changeGroupSettings(group.group_id, changes)}
      read={read}
      test={testGroupSettings}
      touched={['groups']}
      tools={<UserChoice userId={userId} onChange={setUserId} />}
    />
  );
}

/** The source of an inherited value, or the groups whose value has priority over this one. */
function sourceOf(
  { unit }: Setting,
  { value, group, outranked_by }: InheritedSetting,
  hasOwn: boolean,
): string | undefined {
  if (!hasOwn) {
    const inherited = shownValue(value, unit);
    return group ? t`Inherited: ${inherited}, from group ${group}.` : t`Inherited: ${inherited}, by default.`;
  }
  const groups = outranked_by.join(', ');
  return groups ? t`Users who are also in ${groups} get the value that is set there.` : undefined;
}

/** The user whose effective values are shown next to those of the group. */
function UserChoice({ userId, onChange }: { userId: string | null; onChange: (id: string | null) => void }) {
  const may = useAllowed()('users_view');
  const users = useQuery({ ...usersQuery, enabled: may });
  if (!may) return null;
  return (
    <Select
      flex="1 1 260px"
      maw={360}
      aria-label={t`Show the effective settings of a user`}
      placeholder={t`Show the effective settings of a user`}
      searchable
      limit={50}
      clearable
      clearButtonProps={{ 'aria-label': t`No user` }}
      data={(users.data ?? []).map(({ user_id, username }) => ({ value: user_id, label: username }))}
      value={userId}
      onChange={onChange}
    />
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
