import { Button, Card, Group, Skeleton, Stack, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useAllowed } from '../../api/auth';
import { messageOf } from '../../api/client';
import { changeSettings, settingsQuery } from '../../api/queries';
import type { InstallationSetting } from '../../api/types';
import { StaleBanner } from '../../components/feedback';
import { PageHeader } from '../../components/PageHeader';
import { SettingEditor } from '../../components/SettingEditor';

/** What holds for the whole installation; a value is saved when its field is left. */
export function Settings() {
  const settings = useQuery(settingsQuery);
  return (
    <>
      <PageHeader title="Settings">They hold for the whole installation and take effect at once.</PageHeader>
      <Stack gap="md" maw={760}>
        <StaleBanner error={settings.error} hasData={settings.data !== undefined} />
        {!settings.data && <Skeleton h={240} />}
        {settings.data?.map((setting) => (
          <Row key={setting.name} setting={setting} />
        ))}
      </Stack>
    </>
  );
}

function Row({ setting }: { setting: InstallationSetting }) {
  const queries = useQueryClient();
  const mayChange = useAllowed()('settings_modify');
  const change = useMutation({
    mutationFn: (value: unknown) => changeSettings({ [setting.name]: value }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['settings'] }),
  });
  const isDefault = JSON.stringify(setting.value) === JSON.stringify(setting.default);
  return (
    <Card withBorder className="surface" p="md" data-setting={setting.name}>
      <Group justify="space-between" align="flex-start">
        <div>
          <Text size="sm" fw={600}>
            {setting.name}
          </Text>
          <Text size="xs" c="dimmed">
            {setting.description}
          </Text>
        </div>
        <Group gap="sm">
          {!isDefault && (
            <Button
              size="compact-xs"
              variant="default"
              disabled={!mayChange}
              onClick={() => change.mutate(null)}
              aria-label={`Default of ${setting.name}`}
            >
              Default
            </Button>
          )}
          <SettingEditor
            key={JSON.stringify(setting.value)}
            setting={setting}
            value={setting.value}
            disabled={!mayChange || change.isPending}
            onSave={(value) => change.mutate(value)}
          />
        </Group>
      </Group>
      {change.isError && (
        <Text size="xs" c="var(--mantine-color-error)" role="alert">
          {messageOf(change.error)}
        </Text>
      )}
    </Card>
  );
}
