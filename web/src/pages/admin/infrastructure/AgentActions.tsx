import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Checkbox, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { useQueryClient } from '@tanstack/react-query';
import { IconDropletDown, IconDropletOff, IconEdit, IconTrash } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { changeAgent, deleteAgent, revokeCredential } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Agent } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { RowButton } from '../../../components/RowButton';
import { showReversible } from '../../../components/undo';
import { useAction } from '../../../components/useAction';
import { AgentForm } from './AgentForm';
import { JoinDialog } from './JoinDialog';

interface Props {
  agent: Agent;
}

type Trigger = (open: () => void) => ReactNode;

/** The toggle of an Agent. */
export function AgentSwitch({ agent, labeled = false }: Props & { labeled?: boolean }) {
  const allowed = useAllowed();
  const { hostname } = agent;
  return (
    <EnabledSwitch
      enabled={agent.enabled}
      name={t`Agent ${hostname}`}
      list="agents"
      disabled={!allowed('agents_modify')}
      labeled={labeled}
      onChange={(enabled) => changeAgent(agent.agent_id, { enabled })}
    />
  );
}

/** The actions in the row of an Agent, except the switch. */
export function AgentActions({ agent }: Props) {
  const allowed = useAllowed();
  const drain = useDrain(agent);
  const { hostname } = agent;
  return (
    <>
      {allowed('agents_modify') && (
        <>
          <EditAgent
            agent={agent}
            trigger={(open) => <RowButton label={t`Edit ${hostname}`} icon={IconEdit} onClick={open} />}
          />
          <RowButton
            label={agent.draining ? t`End draining ${hostname}` : t`Drain ${hostname}: no new sessions`}
            icon={agent.draining ? IconDropletOff : IconDropletDown}
            onClick={() => drain.mutate(undefined)}
          />
        </>
      )}
      {allowed('agents_delete') && (
        <DeleteAgent
          agent={agent}
          trigger={(open) => <RowButton label={t`Delete ${hostname}`} icon={IconTrash} onClick={open} />}
        />
      )}
    </>
  );
}

/** The actions on the page of an Agent, including those for its credential. */
export function AgentButtons({ agent }: Props) {
  const allowed = useAllowed();
  const drain = useDrain(agent);
  const button = (label: string) => (open: () => void) => (
    <Button variant="default" onClick={open}>
      {label}
    </Button>
  );
  return (
    <>
      <AgentSwitch agent={agent} labeled />
      {allowed('agents_modify') && (
        <>
          {agent.edge_url_requested !== null && <SettleEdge agent={agent} requested={agent.edge_url_requested} />}
          <EditAgent agent={agent} trigger={button(t`Edit`)} />
          <Button variant="default" loading={drain.isPending} onClick={() => drain.mutate(undefined)}>
            {agent.draining ? t`End Draining` : t`Drain`}
          </Button>
          {!agent.credential_revoked && <RevokeCredential agent={agent} trigger={button(t`Revoke Credential`)} />}
        </>
      )}
      {allowed('agents_create') && isOut(agent) && <JoinAgain agent={agent} trigger={button(t`Join Again`)} />}
      {allowed('agents_delete') && (
        <DeleteAgent agent={agent} trigger={button(t`Delete`)} to="/admin/infrastructure/agents" />
      )}
    </>
  );
}

function useDrain(agent: Agent) {
  const queries = useQueryClient();
  const { hostname, agent_id: id, draining } = agent;
  return useAction(
    async () => {
      await changeAgent(id, { draining: !draining });
      showReversible(draining ? t`Agent ${hostname} no longer drains.` : t`Agent ${hostname} drains.`, async () => {
        await changeAgent(id, { draining });
        await queries.invalidateQueries({ queryKey: ['agents'] });
      });
    },
    ['agents'],
    t`Agent ${hostname} was not changed`,
  );
}

function EditAgent({ agent, trigger }: Props & { trigger: Trigger }) {
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      {trigger(open)}
      {opened && <AgentForm agent={agent} onClose={close} />}
    </>
  );
}

/** Whether Managers refuse the Agent until it joins again, or may refuse it. */
function isOut(agent: Agent): boolean {
  return agent.credential_revoked || agent.refused !== null || agent.status !== 'running';
}

/** Confirms or declines the changed address of the edge gateway that the Agent reported. */
function SettleEdge({ agent, requested }: Props & { requested: string }) {
  const { hostname, edge_url: present } = agent;
  const decline = useAction(
    () => changeAgent(agent.agent_id, { edge_url: agent.edge_url }),
    ['agents'],
    t`The address of ${hostname} was not declined`,
  );
  return (
    <>
      <Confirm
        title={t`Confirm the edge address of ${hostname}?`}
        action={t`Confirm`}
        color="accent"
        onConfirm={() => changeAgent(agent.agent_id, { edge_url: requested })}
        touched={['agents']}
        trigger={(open) => <Button onClick={open}>{t`Confirm Edge Address`}</Button>}
      >
        {changeOf(requested, present)}{' '}
        <Trans>If no one changed the address on the host, decline it, disable the Agent and check the host.</Trans>
      </Confirm>
      <Button variant="default" loading={decline.isPending} onClick={() => decline.mutate(undefined)}>
        <Trans>Decline Edge Address</Trans>
      </Button>
    </>
  );
}

/** The change of the edge gateway; an empty address is the web gateway on the host. */
function changeOf(requested: string, present: string): string {
  if (!requested)
    return t`Streams of its sessions go to the web gateway on its host from now on, instead of ${present}.`;
  return present
    ? t`Streams of its sessions go to ${requested} from now on, instead of ${present}.`
    : t`Streams of its sessions go to ${requested} from now on, instead of the web gateway on its host.`;
}

function JoinAgain({ agent, trigger }: Props & { trigger: Trigger }) {
  const [opened, { open, close }] = useDisclosure(false);
  return (
    <>
      {trigger(open)}
      {opened && <JoinDialog role="agent" agent={agent} onClose={close} />}
    </>
  );
}

function RevokeCredential({ agent, trigger }: Props & { trigger: Trigger }) {
  const { hostname } = agent;
  return (
    <Confirm
      title={t`Revoke the credential of ${hostname}?`}
      action={t`Revoke`}
      onConfirm={() => revokeCredential(agent.agent_id)}
      touched={['agents']}
      trigger={trigger}
    >
      <Trans>
        All Managers refuse this Agent from now on. It starts and ends no session until it joins again with a token for
        this Agent. Its sessions continue to run.
      </Trans>
    </Confirm>
  );
}

function DeleteAgent({ agent, trigger, to }: Props & { trigger: Trigger; to?: string }) {
  const [force, setForce] = useState(false);
  const { hostname, sessions } = agent;
  return (
    <Confirm
      title={t`Delete Agent ${hostname}?`}
      action={t`Delete`}
      onConfirm={() => deleteAgent(agent.agent_id, force)}
      to={to}
      touched={['agents', 'sessions', 'zones']}
      trigger={(open) =>
        trigger(() => {
          setForce(false);
          open();
        })
      }
    >
      <Stack gap="sm">
        <Trans>Delete an Agent only if its machine is permanently gone. Stop the Agent first if it still runs.</Trans>
        {sessions > 0 && (
          <Checkbox
            label={t`Also end ${plural(sessions, { one: '# session', other: '# sessions' })} of this Agent`}
            checked={force}
            onChange={(event) => setForce(event.currentTarget.checked)}
          />
        )}
      </Stack>
    </Confirm>
  );
}
