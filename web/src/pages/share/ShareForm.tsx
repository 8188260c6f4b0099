import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Autocomplete, Button, SegmentedControl, Select, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { type Access, candidatesQuery, createShare, type Share } from '../../api/sharing';
import type { Schemas } from '../../api/types';
import { shortDuration } from '../../components/clock';
import { useAction } from '../../components/useAction';

interface Props {
  sessionId: string;
  rules: Schemas['SharingView'];
  onShared: (share: Share) => Promise<void>;
}

type Audience = 'users' | 'user' | 'guests';
const HOURS = [1, 4, 8, 24];
const LONGEST_NAME = 60;

/** The audience, the access and the duration of a new share. */
export function ShareForm({ sessionId, rules, onShared }: Props) {
  const [audience, setAudience] = useState<Audience>('users');
  const [access, setAccess] = useState<Access>('view');
  const [username, setUsername] = useState('');
  const [name, setName] = useState('');
  const [hours, setHours] = useState<string | null>('');
  const [searched] = useDebouncedValue(username.trim(), 200);
  const { data: candidates } = useQuery(candidatesQuery(sessionId, audience === 'user' ? searched : ''));
  // A link for users gives no control, and some pages have no view-only mode.
  const may: Access[] = [
    ...(rules.view ? (['view'] as const) : []),
    ...(hasControl(audience, rules) ? (['control'] as const) : []),
  ];
  const chosen = may.includes(access) ? access : may[0];
  const create = useAction(
    async () => {
      const seconds = hours ? Number(hours) * 3600 : null;
      const who =
        audience === 'user' ? { username: username.trim() } : { guest: audience === 'guests', name: name.trim() };
      const share = await createShare(sessionId, { access: chosen ?? 'view', seconds, guest: false, name: '', ...who });
      setUsername('');
      setName('');
      await onShared(share);
    },
    ['sharing'],
    t`Not shared`,
  );
  const most = rules.max_seconds;
  const mostTime = most ? shortDuration(most) : null;
  const longest = mostTime ? t`Longest permitted time (${mostTime})` : t`Until the session ends`;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        create.mutate(undefined);
      }}
    >
      <Stack gap="xs">
        <Select
          label={t`Share with`}
          allowDeselect={false}
          data={[
            { value: 'users', label: t`Users with the link` },
            { value: 'user', label: t`A user by name` },
            ...(rules.guests ? [{ value: 'guests', label: t`Guests with the link, without an account` }] : []),
          ]}
          value={audience}
          onChange={(value) => setAudience(value as Audience)}
          comboboxProps={{ zIndex: 400 }}
        />
        {audience === 'user' && (
          <Autocomplete
            label={t`Username`}
            required
            withAsterisk={false}
            data={(candidates ?? []).map((one) => one.username)}
            value={username}
            onChange={setUsername}
            comboboxProps={{ zIndex: 400 }}
          />
        )}
        {audience !== 'user' && (
          <TextInput
            label={t`Name of the link`}
            placeholder={t`e.g. Anna’s class`}
            maxLength={LONGEST_NAME}
            autoFocus={hasMouse()}
            value={name}
            onChange={(event) => setName(event.currentTarget.value)}
          />
        )}
        {may.length > 1 && (
          <SegmentedControl
            aria-label={t`Access`}
            value={chosen}
            onChange={(value) => setAccess(value)}
            data={[
              { value: 'view', label: t`View only` },
              { value: 'control', label: t({ message: 'Control', context: 'verb' }) },
            ]}
          />
        )}
        <Select
          label={t`Duration`}
          allowDeselect={false}
          data={[
            { value: '', label: longest },
            ...HOURS.filter((one) => !most || one * 3600 < most).map((count) => ({
              value: String(count),
              label: plural(count, { one: '# hour', other: '# hours' }),
            })),
          ]}
          value={hours}
          onChange={setHours}
          comboboxProps={{ zIndex: 400 }}
        />
        {chosen ? (
          <Button type="submit" loading={create.isPending}>
            {audience === 'user' ? t`Share and copy the link` : t`Create and copy the link`}
          </Button>
        ) : (
          <Text size="sm">
            <Trans>
              Sessions of this workspace have no view-only mode. If your group allows control, share the session with a
              user by name.
            </Trans>
          </Text>
        )}
      </Stack>
    </form>
  );
}

/** Whether a focus in a field opens no keyboard on the screen. */
function hasMouse(): boolean {
  return !matchMedia('(pointer: coarse)').matches;
}

function hasControl(audience: Audience, rules: Schemas['SharingView']): boolean {
  return rules.control && audience !== 'users';
}
