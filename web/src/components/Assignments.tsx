import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Button, Card, Group, Select, Stack, Table, Text } from '@mantine/core';
import { type ReactNode, useState } from 'react';
import { Link } from 'react-router';
import { useUndoable } from './undo';
import { useAction } from './useAction';

export interface Assignable {
  id: string;
  label: string;
  /** The page of the item. */
  to?: string;
}

interface Props {
  /** The plural of the assigned items, e.g. "Members". */
  caption: string;
  /** The kind of the items; see `WORDS`. */
  noun: keyof typeof WORDS;
  assigned: Assignable[];
  /** All items that can be assigned. */
  all: Assignable[];
  onAdd: (id: string) => Promise<unknown>;
  /** Undefined if no item can be removed. */
  onRemove?: ((id: string) => Promise<unknown>) | undefined;
  /** Lists to read again after a change. */
  touched: string[];
  disabled: boolean;
  empty: ReactNode;
}

const WORDS = {
  user: { add: t`Add a user`, notAdded: t`The user was not added`, noOther: t`There is no other user` },
  workspace: {
    add: t`Add a workspace`,
    notAdded: t`The workspace was not added`,
    noOther: t`There is no other workspace`,
  },
};

/** The assigned items: a list in which items are added and removed immediately. */
export function Assignments({ caption, noun, assigned, all, onAdd, onRemove, touched, disabled, empty }: Props) {
  const [chosen, setChosen] = useState<string | null>(null);
  const words = WORDS[noun];
  const undoable = useUndoable(touched);
  const change = (id: string, isAdded: boolean): Promise<unknown> => {
    if (!onRemove) return onAdd(id);
    const name = all.find((each) => each.id === id)?.label ?? id;
    const [adding, removing] = [() => onAdd(id), () => onRemove(id)];
    return isAdded
      ? undoable(adding, removing, t`${name} was added.`, id)
      : undoable(removing, adding, t`${name} was removed.`, id);
  };
  const add = useAction((id: string) => change(id, true), touched, words.notAdded);
  const remove = useAction((id: string) => change(id, false), touched, t`Not removed`);
  const has = new Set(assigned.map(({ id }) => id));
  const choices = all.filter(({ id }) => !has.has(id)).map(({ id, label }) => ({ value: id, label }));
  const submit = () => {
    if (!chosen) return;
    add.mutate(chosen);
    setChosen(null);
  };
  return (
    <Card withBorder className="surface" p={0} maw={760}>
      {!disabled && (
        <Group p="sm" wrap="nowrap">
          <Select
            aria-label={words.add}
            placeholder={choices.length > 0 ? words.add : words.noOther}
            searchable
            limit={50}
            flex={1}
            disabled={choices.length === 0}
            data={choices}
            value={chosen}
            onChange={setChosen}
          />
          <Button onClick={submit} disabled={!chosen} loading={add.isPending}>
            <Trans>Add</Trans>
          </Button>
        </Group>
      )}
      <Table verticalSpacing="xs" horizontalSpacing="md" aria-label={caption}>
        <Table.Tbody>
          {assigned.map(({ id, label, to }) => (
            <Table.Tr key={id}>
              <Table.Td>
                {to ? (
                  <Anchor component={Link} to={to} size="sm">
                    {label}
                  </Anchor>
                ) : (
                  <Text size="sm">{label}</Text>
                )}
              </Table.Td>
              <Table.Td ta="end">
                {!disabled && onRemove && (
                  <Button
                    size="compact-xs"
                    variant="default"
                    aria-label={t`Remove ${label}`}
                    loading={remove.isPending && remove.variables === id}
                    onClick={() => remove.mutate(id)}
                  >
                    <Trans>Remove</Trans>
                  </Button>
                )}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {assigned.length === 0 && (
        <Stack p="lg" align="center">
          <Text size="sm" c="dimmed" ta="center">
            {empty}
          </Text>
        </Stack>
      )}
    </Card>
  );
}
