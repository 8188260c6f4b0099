import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconEdit, IconPlayerPause, IconPlayerPlay, IconRefresh, IconTrash } from '@tabler/icons-react';
import type { ReactNode } from 'react';
import { changeStagingConfig, deleteStagingConfig, recycleStagingConfig } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { StagingConfig } from '../../../api/types';
import { useAskedAction } from '../../../components/askedAction';
import { Confirm, ConfirmDialog } from '../../../components/Confirm';
import { RowButton } from '../../../components/RowButton';
import { useUndoableSwitch } from '../../../components/undo';
import { useAction } from '../../../components/useAction';
import { ConfigForm } from './ConfigForm';

const TOUCHED = ['staging-configs', 'sessions'];

interface Props {
  config: StagingConfig;
}

type Trigger = (open: () => void) => ReactNode;

/** The actions in the row of a pool. */
export function ConfigActions({ config }: Props) {
  const allowed = useAllowed();
  const pause = usePause(config);
  const name = nameOf(config);
  return (
    <>
      {allowed('staging_modify') && (
        <>
          <EditConfig
            config={config}
            trigger={(open) => <RowButton label={t`Edit ${name}`} icon={IconEdit} onClick={open} />}
          />
          <RowButton
            label={config.paused ? t`Resume ${name}` : t`Pause ${name}: assign and start no sessions`}
            icon={config.paused ? IconPlayerPlay : IconPlayerPause}
            onClick={() => pause.mutate(undefined)}
          />
          <RecycleConfig
            config={config}
            trigger={(open) => (
              <RowButton label={t`Recycle ${name}: replace its staged sessions`} icon={IconRefresh} onClick={open} />
            )}
          />
        </>
      )}
      {allowed('staging_delete') && (
        <DeleteConfig
          config={config}
          trigger={(open) => <RowButton label={t`Delete ${name}`} icon={IconTrash} onClick={open} />}
        />
      )}
    </>
  );
}

/** The actions on the page of a pool. */
export function ConfigButtons({ config }: Props) {
  const allowed = useAllowed();
  const pause = usePause(config);
  const button = (label: string) => (open: () => void) => (
    <Button variant="default" onClick={open}>
      {label}
    </Button>
  );
  return (
    <>
      {allowed('staging_modify') && (
        <>
          <EditConfig config={config} trigger={button(t`Edit`)} />
          <Button variant="default" loading={pause.isPending} onClick={() => pause.mutate(undefined)}>
            {config.paused ? t`Resume` : t`Pause`}
          </Button>
          <AskedPause config={config} />
          <RecycleConfig config={config} trigger={button(t`Recycle`)} />
        </>
      )}
      {allowed('staging_delete') && <DeleteConfig config={config} trigger={button(t`Delete`)} to="/admin/staging" />}
    </>
  );
}

/** The name of a pool in headings and questions. */
export function nameOf({ image_friendly_name, zone_name }: StagingConfig): string {
  return t`${{ workspace: image_friendly_name }} in ${{ zone: zone_name }}`;
}

function useSetPaused(config: StagingConfig) {
  const name = nameOf(config);
  return useUndoableSwitch(
    (isPaused) => changeStagingConfig(config.staging_config_id, { paused: isPaused }),
    TOUCHED,
    (isPaused) => (isPaused ? t`The pool ${name} is paused.` : t`The pool ${name} runs again.`),
  );
}

function usePause(config: StagingConfig) {
  const set = useSetPaused(config);
  return useAction(() => set(!config.paused), TOUCHED, t`The config was not changed`);
}

/** The question before a pause or its end, if the address asks for it. */
function AskedPause({ config }: Props) {
  const { paused } = config;
  const set = useSetPaused(config);
  const [opened, { open, close }] = useDisclosure(false);
  useAskedAction((action) => action === (paused ? 'resume' : 'pause') && open());
  const name = nameOf(config);
  return (
    <ConfirmDialog
      opened={opened}
      onClose={close}
      title={paused ? t`Resume ${name}?` : t`Pause ${name}?`}
      action={paused ? t`Resume` : t`Pause`}
      color="accent"
      onConfirm={() => set(!paused)}
      touched={TOUCHED}
    >
      {paused ? (
        <Trans>The pool starts sessions again and gives them to users.</Trans>
      ) : (
        <Trans>The pool starts no sessions and gives none to users until it is resumed. Its sessions stay.</Trans>
      )}
    </ConfirmDialog>
  );
}

function EditConfig({ config, trigger }: Props & { trigger: Trigger }) {
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      {trigger(open)}
      {opened && <ConfigForm config={config} onClose={close} />}
    </>
  );
}

function RecycleConfig({ config, trigger }: Props & { trigger: Trigger }) {
  return (
    <Confirm
      title={t`Recycle ${{ name: nameOf(config) }}?`}
      action={t`Recycle`}
      color="accent"
      onConfirm={() => recycleStagingConfig(config.staging_config_id)}
      touched={TOUCHED}
      trigger={trigger}
    >
      <Trans>
        <Plural value={{ count: waitingOf(config) }} one="# session" other="# sessions" /> waiting for a user will be
        replaced. Sessions with a user continue to run.
      </Trans>
    </Confirm>
  );
}

function DeleteConfig({ config, trigger, to }: Props & { trigger: Trigger; to?: string }) {
  return (
    <Confirm
      title={t`Delete the config ${{ name: nameOf(config) }}?`}
      action={t`Delete`}
      onConfirm={() => deleteStagingConfig(config.staging_config_id)}
      to={to}
      touched={TOUCHED}
      trigger={trigger}
    >
      <Trans>
        <Plural value={{ count: waitingOf(config) }} one="# session" other="# sessions" /> waiting for a user will be
        deleted. Sessions with a user continue to run.
      </Trans>
    </Confirm>
  );
}

export function waitingOf({ num_current_sessions, num_starting_sessions }: StagingConfig): number {
  return num_current_sessions + num_starting_sessions;
}
