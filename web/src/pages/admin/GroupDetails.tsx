import { Alert, Badge, Button, Drawer, Group as Row, Skeleton, Stack, Text } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useAllowed } from '../../api/auth';
import { messageOf } from '../../api/client';
import { changeGroupSettings, groupSettingsQuery } from '../../api/queries';
import type { Group, Setting } from '../../api/types';
import { SettingEditor } from '../../components/SettingEditor';

/** The settings of one group: those it has a value for, and those it leaves to other groups and the default. */
export function GroupDetails({ group, onClose }: { group: Group; onClose: () => void }) {
  const settings = useQuery({ ...groupSettingsQuery, refetchInterval: false });
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size="lg"
      title={<Text fw={650}>Settings of {group.name}</Text>}
      closeButtonProps={{ 'aria-label': 'Close' }}
    >
      <Stack gap="lg">
        {settings.isPending && <Skeleton h={300} />}
        {settings.isError && (
          <Alert color="red" variant="light">
            {messageOf(settings.error)}
          </Alert>
        )}
        {settings.data?.map((setting) => (
          <SettingRow key={setting.name} group={group} setting={setting} />
        ))}
      </Stack>
    </Drawer>
  );
}

function SettingRow({ group, setting }: { group: Group; setting: Setting }) {
  const queries = useQueryClient();
  const mayChange = useAllowed()(group.is_system ? 'groups_modify_system' : 'groups_modify');
  const has = setting.name in group.settings;
  const change = useMutation({
    mutationFn: (value: unknown) => changeGroupSettings(group.group_id, { [setting.name]: value }),
    onSettled: () => queries.invalidateQueries({ queryKey: ['groups'] }),
  });
  const value = has ? group.settings[setting.name] : setting.default;
  return (
    <Stack gap={6} data-setting={setting.name}>
      <Row justify="space-between" wrap="nowrap" align="flex-start">
        <div>
          <Row gap="xs">
            <Text size="sm" fw={600}>
              {setting.name}
            </Text>
            {setting.excludes_staging && (
              <Badge variant="default" size="sm">
                excludes staging
              </Badge>
            )}
          </Row>
          <Text size="xs" c="dimmed">
            {setting.description}
          </Text>
        </div>
        {has ? (
          <Button
            size="compact-xs"
            variant="default"
            disabled={!mayChange}
            onClick={() => change.mutate(null)}
            aria-label={`Remove ${setting.name}`}
          >
            Remove
          </Button>
        ) : (
          <Text size="xs" c="dimmed" className="nowrap">
            not set here
          </Text>
        )}
      </Row>
      <SettingEditor
        key={JSON.stringify(value)}
        setting={setting}
        value={value}
        disabled={!mayChange || change.isPending}
        onSave={(next) => change.mutate(next)}
      />
      {change.isError && (
        <Text size="xs" c="var(--mantine-color-error)" role="alert">
          {messageOf(change.error)}
        </Text>
      )}
    </Stack>
  );
}
