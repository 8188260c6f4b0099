import { Group } from '@mantine/core';
import { IconEdit, IconPlayerPause, IconPlayerPlay, IconRefresh, IconTrash } from '@tabler/icons-react';
import { useAllowed } from '../../../api/auth';
import { changeStagingConfig, deleteStagingConfig, recycleStagingConfig } from '../../../api/queries';
import type { StagingConfig } from '../../../api/types';
import { Confirm } from '../../../components/ConfirmButton';
import { counted } from '../../../components/format';
import { RowButton } from '../../../components/RowButton';
import { useAction } from '../../../components/useAction';

const TOUCHED = ['staging-configs', 'sessions'];

/** What can be done with a pool. */
export function ConfigActions({ config, onEdit }: { config: StagingConfig; onEdit: () => void }) {
  const allowed = useAllowed();
  const id = config.staging_config_id;
  const name = `${config.image_friendly_name} in ${config.zone_name}`;
  const waiting = counted(config.num_current_sessions + config.num_starting_sessions, 'session');
  const pause = useAction(
    () => changeStagingConfig(id, { paused: !config.paused }),
    TOUCHED,
    'The config was not changed',
  );
  const recycle = useAction(() => recycleStagingConfig(id), TOUCHED, 'The pool was not recycled');
  const remove = useAction(() => deleteStagingConfig(id), TOUCHED, 'The config was not deleted');
  return (
    <Group gap={2} wrap="nowrap" justify="flex-end">
      {allowed('staging_modify') && (
        <>
          <RowButton label={`Edit ${name}`} icon={IconEdit} onClick={onEdit} />
          <RowButton
            label={`${config.paused ? 'Go on with' : 'Pause'} ${name}`}
            icon={config.paused ? IconPlayerPlay : IconPlayerPause}
            onClick={() => pause.mutate(undefined)}
          />
          <Confirm
            title={`Recycle ${name}?`}
            action="Recycle"
            color="teal"
            onConfirm={() => recycle.mutateAsync(undefined)}
            trigger={(open) => <RowButton label={`Recycle ${name}`} icon={IconRefresh} onClick={open} />}
          >
            {waiting} waiting for a user will be replaced by new ones. Sessions in use are left alone.
          </Confirm>
        </>
      )}
      {allowed('staging_delete') && (
        <Confirm
          title={`Delete the config ${name}?`}
          action="Delete"
          onConfirm={() => remove.mutateAsync(undefined)}
          trigger={(open) => <RowButton label={`Delete ${name}`} icon={IconTrash} onClick={open} />}
        >
          {waiting} waiting for a user will be destroyed. Sessions in use go on.
        </Confirm>
      )}
    </Group>
  );
}
