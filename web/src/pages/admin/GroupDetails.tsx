import {
  Alert,
  Badge,
  Button,
  Drawer,
  Group as Row,
  JsonInput,
  NumberInput,
  Select,
  Skeleton,
  Stack,
  Switch,
  Text,
  TextInput,
} from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { useAllowed } from '../../api/auth';
import { messageOf } from '../../api/client';
import { changeGroupSettings, groupSettingsQuery } from '../../api/queries';
import type { Group, Setting } from '../../api/types';

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
      <Editor
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

interface EditorProps {
  setting: Setting;
  value: unknown;
  disabled: boolean;
  onSave: (value: unknown) => void;
}

/** The field that fits the kind of the setting; it saves when it is left. */
function Editor({ setting, value, disabled, onSave }: EditorProps) {
  const label = { 'aria-label': setting.name, disabled };
  switch (setting.kind) {
    case 'bool':
      return <Switch {...label} checked={value === true} onChange={(event) => onSave(event.currentTarget.checked)} />;
    case 'choice':
      return (
        <Select
          {...label}
          w={240}
          data={setting.choices}
          allowDeselect={false}
          value={String(value)}
          onChange={(next) => onSave(next)}
        />
      );
    case 'int':
    case 'float':
      return <NumberEditor setting={setting} value={value} disabled={disabled} onSave={onSave} />;
    case 'mapping':
      return (
        <TextEditor
          setting={setting}
          value={JSON.stringify(value, null, 2)}
          disabled={disabled}
          onSave={(text) => onSave(parsed(String(text)))}
        />
      );
    default:
      return <TextEditor setting={setting} value={value} disabled={disabled} onSave={onSave} />;
  }
}

function NumberEditor({ setting, value, disabled, onSave }: EditorProps) {
  const [number, setNumber] = useState<number | string>(Number(value));
  const save = () => typeof number === 'number' && number !== value && onSave(number);
  return (
    <NumberInput
      aria-label={setting.name}
      w={240}
      disabled={disabled}
      suffix={setting.unit ? ` ${setting.unit}` : ''}
      allowDecimal={setting.kind === 'float'}
      min={setting.minimum ?? undefined}
      value={number}
      onChange={setNumber}
      onBlur={save}
    />
  );
}

function TextEditor({ setting, value, disabled, onSave }: EditorProps) {
  const [text, setText] = useState(String(value ?? ''));
  const save = () => text !== value && onSave(text);
  if (setting.kind === 'mapping') {
    return (
      <JsonInput
        aria-label={setting.name}
        disabled={disabled}
        autosize
        minRows={2}
        validationError="This is not JSON"
        value={text}
        onChange={setText}
        onBlur={() => isJson(text) && save()}
      />
    );
  }
  return (
    <TextInput
      aria-label={setting.name}
      disabled={disabled}
      value={text}
      onChange={(event) => setText(event.currentTarget.value)}
      onBlur={save}
    />
  );
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function parsed(text: string): unknown {
  return JSON.parse(text) as unknown;
}
