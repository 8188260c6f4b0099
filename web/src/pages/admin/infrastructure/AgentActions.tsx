import { Button, Checkbox, Stack } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconDropletDown, IconDropletOff, IconEdit, IconTrash } from '@tabler/icons-react';
import { type ReactNode, useState } from 'react';
import { changeAgent, deleteAgent, revokeCredential } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import type { Agent } from '../../../api/types';
import { Confirm } from '../../../components/Confirm';
import { EnabledSwitch } from '../../../components/EnabledSwitch';
import { counted } from '../../../components/format';
import { RowButton } from '../../../components/RowButton';
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
  return (
    <EnabledSwitch
      enabled={agent.enabled}
      name={`Agent ${agent.hostname}`}
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
  return (
    <>
      {allowed('agents_modify') && (
        <>
          <EditAgent
            agent={agent}
            trigger={(open) => <RowButton label={`Edit ${agent.hostname}`} icon={IconEdit} onClick={open} />}
          />
          <RowButton
            label={agent.draining ? `End draining ${agent.hostname}` : `Drain ${agent.hostname}: no new sessions`}
            icon={agent.draining ? IconDropletOff : IconDropletDown}
            onClick={() => drain.mutate(undefined)}
          />
        </>
      )}
      {allowed('agents_delete') && (
        <DeleteAgent
          agent={agent}
          trigger={(open) => <RowButton label={`Delete ${agent.hostname}`} icon={IconTrash} onClick={open} />}
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
          <EditAgent agent={agent} trigger={button('Edit')} />
          <Button variant="default" loading={drain.isPending} onClick={() => drain.mutate(undefined)}>
            {agent.draining ? 'End Draining' : 'Drain'}
          </Button>
          {!agent.credential_revoked && <RevokeCredential agent={agent} trigger={button('Revoke Credential')} />}
        </>
      )}
      {allowed('agents_create') && isOut(agent) && <JoinAgain agent={agent} trigger={button('Join Again')} />}
      {allowed('agents_delete') && (
        <DeleteAgent agent={agent} trigger={button('Delete')} to="/admin/infrastructure/agents" />
      )}
    </>
  );
}

function useDrain(agent: Agent) {
  return useAction(
    () => changeAgent(agent.agent_id, { draining: !agent.draining }),
    ['agents'],
    `Agent ${agent.hostname} was not changed`,
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
  const decline = useAction(
    () => changeAgent(agent.agent_id, { edge_url: agent.edge_url }),
    ['agents'],
    `The address of ${agent.hostname} was not declined`,
  );
  return (
    <>
      <Confirm
        title={`Confirm the edge address of ${agent.hostname}?`}
        action="Confirm"
        color="accent"
        onConfirm={() => changeAgent(agent.agent_id, { edge_url: requested })}
        touched={['agents']}
        trigger={(open) => <Button onClick={open}>Confirm Edge Address</Button>}
      >
        Streams of its sessions go to {requested || 'the web gateway on its host'} from now on, instead of{' '}
        {agent.edge_url || 'the web gateway on its host'}. If no one changed the address on the host, decline it,
        disable the Agent and check the host.
      </Confirm>
      <Button variant="default" loading={decline.isPending} onClick={() => decline.mutate(undefined)}>
        Decline Edge Address
      </Button>
    </>
  );
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
  return (
    <Confirm
      title={`Revoke the credential of ${agent.hostname}?`}
      action="Revoke"
      onConfirm={() => revokeCredential(agent.agent_id)}
      touched={['agents']}
      trigger={trigger}
    >
      All Managers refuse this Agent from now on. It starts and ends no session until it joins again with a token for
      this Agent. Its sessions continue to run.
    </Confirm>
  );
}

function DeleteAgent({ agent, trigger, to }: Props & { trigger: Trigger; to?: string }) {
  const [force, setForce] = useState(false);
  return (
    <Confirm
      title={`Delete Agent ${agent.hostname}?`}
      action="Delete"
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
        Delete an Agent only if its machine is permanently gone. Stop the Agent first if it still runs.
        {agent.sessions > 0 && (
          <Checkbox
            label={`Also end ${counted(agent.sessions, 'session')} of this Agent`}
            checked={force}
            onChange={(event) => setForce(event.currentTarget.checked)}
          />
        )}
      </Stack>
    </Confirm>
  );
}
