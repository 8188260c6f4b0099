import { plural, t } from '@lingui/core/macro';
import { IconPlayerPause, IconPlayerPlay, IconRefresh, IconTrash } from '@tabler/icons-react';
import { useMemo } from 'react';
import { changeStagingConfig, deleteStagingConfig, recycleStagingConfig } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { StagingConfig } from '../../../api/types';
import type { Bulk, BulkAction } from '../../../components/bulk';
import { nameOf, waitingOf } from './ConfigActions';

/** The actions for several pools, as far as the user may change or delete them; undefined = none. */
export function useBulkPools(): Bulk<StagingConfig> | undefined {
  const allowed = useAllowed();
  const mayModify = allowed('staging_modify');
  const mayDelete = allowed('staging_delete');
  return useMemo(() => {
    const actions = [...(mayModify ? CHANGES : []), ...(mayDelete ? [DELETION] : [])];
    return actions.length === 0
      ? undefined
      : { noun: 'pool', nameOf, touched: ['staging-configs', 'sessions', 'session-list'], actions };
  }, [mayModify, mayDelete]);
}

const setPaused = ({ staging_config_id: id }: StagingConfig, paused: boolean) => changeStagingConfig(id, { paused });

const CHANGES: BulkAction<StagingConfig>[] = [
  {
    label: t`Pause`,
    icon: IconPlayerPause,
    effect: () => t`The pool assigns and starts no sessions until it is resumed.`,
    refusal: ({ paused }) => (paused ? t`It is paused already.` : null),
    run: (config) => setPaused(config, true),
    undo: (config) => setPaused(config, false),
  },
  {
    label: t`Resume`,
    icon: IconPlayerPlay,
    effect: () => t`The pool assigns its sessions again, and starts the missing ones.`,
    refusal: ({ paused }) => (paused ? null : t`It is not paused.`),
    run: (config) => setPaused(config, false),
    undo: (config) => setPaused(config, true),
  },
  {
    label: t`Recycle`,
    icon: IconRefresh,
    effect: (config) =>
      t`${plural(waitingOf(config), { one: '# staged session is', other: '# staged sessions are' })} replaced. Sessions with a user continue.`,
    refusal: (config) => (waitingOf(config) === 0 ? t`It has no staged sessions.` : null),
    run: ({ staging_config_id: id }) => recycleStagingConfig(id),
  },
];

const DELETION: BulkAction<StagingConfig> = {
  label: t`Delete`,
  icon: IconTrash,
  effect: (config) =>
    t`The pool ends, with ${plural(waitingOf(config), { one: '# staged session', other: '# staged sessions' })}. Sessions with a user continue.`,
  refusal: () => null,
  run: ({ staging_config_id: id }) => deleteStagingConfig(id),
  isDangerous: true,
};
