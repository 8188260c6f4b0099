import { Card, Code, Group, SimpleGrid, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import type { ReactNode } from 'react';
import { messageOf, retryTemporary } from '../api/client';
import type { Setting } from '../api/types';
import { Marked } from './Marked';
import { SettingEditor } from './SettingEditor';
import { settingTitle } from './titles';

interface Props {
  setting: Setting;
  value: unknown;
  /** Type and default as text. */
  facts: string;
  /** The source of the value, or the groups whose value has priority. */
  source?: string | undefined;
  /** The source of the effective value of the chosen user. */
  note?: string | undefined;
  badge?: ReactNode;
  /** Null removes the value. */
  save: (value: unknown) => Promise<unknown>;
  /** The list to read again. */
  touched: string;
  disabled: boolean;
  /** The names to choose from for a text. */
  known?: string[] | undefined;
  /** A custom field. `underWay` is the value that is being saved; undefined = none. */
  editor?: ((save: (value: unknown) => void, underWay: unknown) => ReactNode) | undefined;
  /** The content at the end of the row; `reset` removes the value. */
  beside: (reset: () => void) => ReactNode;
}

/** One setting: its description and its field, which saves when the focus leaves it. A refusal is shown below it. */
export function SettingRow(props: Props) {
  const { setting, value, facts, source, note, badge, save, touched, disabled, known, editor, beside } = props;
  const queries = useQueryClient();
  const change = useMutation({
    mutationFn: save,
    scope: { id: `${touched} ${setting.name}` }, // one after the other, so that the last choice is saved last
    retry: retryTemporary,
    onSettled: () => queries.invalidateQueries({ queryKey: [touched] }),
  });
  return (
    <Card withBorder className="surface" p="md" data-setting={setting.name} id={setting.name}>
      <SimpleGrid cols={{ base: 1, sm: 2 }} spacing="md" verticalSpacing="xs">
        <div>
          <Group gap="xs">
            <Text size="sm" fw={600} className="anywhere">
              {settingTitle(setting.name)}
            </Text>
            <Code>{setting.name}</Code>
            {badge}
          </Group>
          <Text size="xs" c="dimmed">
            <Marked text={setting.description} />
          </Text>
          <Text size="xs" c="dimmed">
            {facts}
          </Text>
        </div>
        <Stack gap={4}>
          <Group justify="space-between" wrap="nowrap" align="flex-start">
            <div className="grows">
              {editor?.(change.mutate, change.isPending ? change.variables : undefined) ?? (
                <SettingEditor
                  key={JSON.stringify(value)}
                  setting={setting}
                  value={value}
                  known={known}
                  disabled={disabled || change.isPending}
                  onSave={(next) => change.mutate(next)}
                />
              )}
            </div>
            {beside(() => change.mutate(null))}
          </Group>
          {source && (
            <Text size="xs" c="dimmed">
              {source}
            </Text>
          )}
          {note && (
            <Text size="xs" role="note" className="anywhere">
              <Marked text={note} />
            </Text>
          )}
          {change.isError && (
            <Text size="xs" c="var(--mantine-color-error)" role="alert">
              {messageOf(change.error)}
            </Text>
          )}
        </Stack>
      </SimpleGrid>
    </Card>
  );
}
