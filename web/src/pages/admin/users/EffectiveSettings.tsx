import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Badge, Code, Group, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconSettings } from '@tabler/icons-react';
import { useMemo } from 'react';
import { userSettingsQuery } from '../../../api/queries';
import type { EffectiveSetting, Uuid } from '../../../api/types';
import { DataTable } from '../../../components/DataTable';
import type { Column } from '../../../components/tableState';
import { EmptyState } from '../../../components/feedback';
import { Marked } from '../../../components/Marked';
import { shownValue } from '../../../components/settings/items';
import { settingTitle } from '../../../components/titles';
import { WhyButton } from '../../../why/WhyButton';

const columnsOf = (userId: Uuid): Column<EffectiveSetting>[] => [
  {
    key: 'setting',
    title: t`Setting`,
    value: (row) => `${row.title} ${row.name} ${row.excludes_staging ? t`no staged sessions if set` : ''}`,
    width: '45%',
    render: (row) => (
      <>
        <Group gap="xs">
          <Text size="sm" fw={600} className="anywhere">
            {row.title}
          </Text>
          <Code>{row.name}</Code>
          {row.excludes_staging && (
            <Badge variant="default" size="sm" miw="max-content">
              <Trans>no staged sessions if set</Trans>
            </Badge>
          )}
        </Group>
        <Text size="xs" c="dimmed">
          <Marked text={row.description} />
        </Text>
      </>
    ),
  },
  {
    key: 'value',
    title: t`Value`,
    value: (row) => shownValue(row.value, row.unit),
    render: (row) => (
      <Text size="sm" miw={90} className="anywhere">
        {shownValue(row.value, row.unit)}
      </Text>
    ),
  },
  {
    key: 'trace',
    title: t`Source`,
    value: (row) => row.trace,
    render: ({ name, trace }) => (
      <Text size="xs" className="anywhere">
        <Marked text={trace} /> <WhyButton subject={{ kind: 'setting', id: userId, name }} about={aboutOf(name)} />
      </Text>
    ),
  },
];

function aboutOf(name: string): string {
  const setting = settingTitle(name);
  return t`${setting} of this user`;
}

/** The effective group settings of a user, each with its source. */
export function EffectiveSettings({ userId }: { userId: string }) {
  const settings = useQuery(userSettingsQuery(userId));
  const columns = useMemo(() => columnsOf(userId), [userId]);
  return (
    <DataTable
      list="effective-settings"
      caption={t`Effective settings`}
      query={settings}
      columns={columns}
      rowKey={(row) => row.name}
      minWidth={760}
      empty={<EmptyState icon={IconSettings} title={t`No settings`} />}
    />
  );
}
