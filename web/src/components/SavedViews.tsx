import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { ActionIcon, Button, Group, Menu, Stack, Text, TextInput } from '@mantine/core';
import { IconBookmark, IconBookmarkFilled, IconDeviceFloppy, IconTrash } from '@tabler/icons-react';
import { type SyntheticEvent, useState } from 'react';
import { Dialog } from './Dialog';
import { LONGEST_NAME, MOST_VIEWS, type View } from './listChoices';
import { RowAction } from './RowAction';
import styles from './ListMenus.module.css';

interface Props {
  views: View[];
  /** The query of the list as it is shown now. */
  query: string;
  onShow: (view: View) => void;
  onChange: (views: View[]) => void;
}

/** The menu with the views of a list that the user saved. */
export function SavedViews({ views, query, onShow, onChange }: Props) {
  const [dialog, setDialog] = useState<'save' | 'delete' | null>(null);
  const shown = views.find((view) => view.query === query);
  const Icon = shown ? IconBookmarkFilled : IconBookmark;
  return (
    <>
      <Menu position="bottom-end" withInitialFocusPlaceholder={false}>
        <Menu.Target>
          <ActionIcon variant="subtle" color="gray" size="lg" aria-label={t`Saved views`} data-hint={t`Saved views`}>
            <Icon size={18} aria-hidden />
          </ActionIcon>
        </Menu.Target>
        <Menu.Dropdown className={styles.menu ?? ''}>
          <Menu.Label>{views.length > 0 ? t`Saved views` : t`No saved views yet`}</Menu.Label>
          {views.map((view) => (
            <Menu.Item key={view.name} onClick={() => onShow(view)} data-current={view === shown || undefined}>
              {view.name}
            </Menu.Item>
          ))}
          <Menu.Divider />
          <Menu.Item leftSection={<IconDeviceFloppy size={16} aria-hidden />} onClick={() => setDialog('save')}>
            <Trans>Save this view</Trans>
          </Menu.Item>
          {views.length > 0 && (
            <Menu.Item leftSection={<IconTrash size={16} aria-hidden />} onClick={() => setDialog('delete')}>
              <Trans>Delete views</Trans>
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      {dialog === 'save' && (
        <SaveDialog
          views={views}
          onSave={(name) => onChange([...views.filter((view) => view.name !== name), { name, query }])}
          onClose={() => setDialog(null)}
        />
      )}
      {dialog === 'delete' && (
        <DeleteDialog
          views={views}
          onDelete={(name) => onChange(views.filter((view) => view.name !== name))}
          onClose={() => setDialog(null)}
        />
      )}
    </>
  );
}

interface SaveProps {
  views: View[];
  onSave: (name: string) => void;
  onClose: () => void;
}

function SaveDialog({ views, onSave, onClose }: SaveProps) {
  const [name, setName] = useState('');
  const trimmed = name.trim();
  const isReplaced = views.some((view) => view.name === trimmed);
  const isFull = views.length >= MOST_VIEWS && !isReplaced;
  const save = (event: SyntheticEvent) => {
    event.preventDefault();
    if (!trimmed || isFull) return;
    onSave(trimmed);
    onClose();
  };
  return (
    <Dialog title={t`Save this view`} onClose={onClose}>
      <form onSubmit={save}>
        <Stack>
          <TextInput
            label={t`Name`}
            description={t`The view keeps the filter, the order and the columns of the list. It is only in your menu.`}
            maxLength={LONGEST_NAME}
            required
            value={name}
            error={isFull ? t`A list can have at most ${MOST_VIEWS} views. Delete one first.` : undefined}
            onChange={(event) => setName(event.currentTarget.value)}
          />
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              <Trans>Cancel</Trans>
            </Button>
            <Button type="submit" disabled={isFull}>
              {isReplaced ? t`Replace the view` : t`Save`}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  );
}

interface DeleteProps {
  views: View[];
  onDelete: (name: string) => void;
  onClose: () => void;
}

function DeleteDialog({ views, onDelete, onClose }: DeleteProps) {
  return (
    <Dialog title={t`Delete views`} onClose={onClose}>
      {views.length === 0 && (
        <Text size="sm">
          <Trans>There are no saved views.</Trans>
        </Text>
      )}
      <ul className={styles.views}>
        {views.map(({ name }) => (
          <li key={name}>
            {name}
            <RowAction word="Delete" name={name} onClick={() => onDelete(name)} />
          </li>
        ))}
      </ul>
    </Dialog>
  );
}
