import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import {
  Alert,
  Anchor,
  Button,
  Checkbox,
  Code,
  CopyButton,
  Group,
  Loader,
  NumberInput,
  Select,
  SimpleGrid,
  Stack,
  Text,
} from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQuery } from '@tanstack/react-query';
import { IconCircleCheckFilled } from '@tabler/icons-react';
import { useState } from 'react';
import { Link } from 'react-router';
import { createJoinToken } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { agentsQuery, gatewaysQuery, joinTokensQuery } from '../../../api/queries';
import type { Agent, Gateway, Schemas } from '../../../api/types';
import { AmountInput } from '../../../components/AmountInput';
import { checksOf } from '../../../components/checks';
import { FormFrame } from '../../../components/Form';
import { absolute } from '../../../components/TimeAgo';
import { useZoneChoices } from '../../../components/useZoneChoices';
import { Dialog } from '../../../components/Dialog';

type Token = Schemas['JoinToken'];
type Role = Token['role'];

interface Props {
  role: Role;
  /** A registered Agent that must join again. Without it, the token is for new machines. */
  agent?: Agent;
  onClose: () => void;
}

/** Creates a join token, then shows the command that uses it and the machines that joined with it. */
export function JoinDialog({ role, agent, onClose }: Props) {
  const [token, setToken] = useState<Token | null>(null);
  const hostname = agent?.hostname ?? '';
  return (
    <Dialog
      title={<>{agent ? t`Let ${hostname} join again` : role === 'agent' ? t`Add Agent` : t`Add Gateway`}</>}
      onClose={onClose}
      size="lg"
      closeOnClickOutside={!token}
    >
      {token ? (
        <Command token={token} onClose={onClose} />
      ) : (
        <TokenForm role={role} agent={agent} onMade={setToken} onClose={onClose} />
      )}
    </Dialog>
  );
}

interface FormProps {
  role: Role;
  agent: Agent | undefined;
  onMade: (token: Token) => void;
  onClose: () => void;
}

function TokenForm({ role, agent, onMade, onClose }: FormProps) {
  const { choices: zones, only } = useZoneChoices();
  const form = useForm({
    initialValues: { zone_id: agent?.zone_id ?? '', uses: 1, hours: 1, enable_agent: false },
    validate: checksOf('JoinTokenCreate', { units: { hours: 'hours' } }),
    validateInputOnChange: true,
  });
  const mayEnable = useAllowed()('agents_modify');
  const zoneId = form.getValues().zone_id || only;
  const forAgent = agent ? { agent_id: agent.agent_id } : {};
  return (
    <FormFrame
      form={form}
      save={(values) => createJoinToken({ ...values, ...forAgent, role, zone_id: zoneId })}
      touched={['join-tokens']}
      onSaved={onMade}
      onCancel={onClose}
      submit={t`Create join token`}
      missing={zoneId ? '' : t`Choose a zone.`}
    >
      <Text size="sm">
        {agent
          ? t`The join token is only for this Agent. Its machine gets a new credential. Its sessions continue to run.`
          : role === 'agent'
            ? t`An Agent on another machine uses a join token to register in one zone.`
            : t`A web gateway on another machine uses a join token to register in one zone.`}
      </Text>
      <Select
        label={t`Zone`}
        placeholder={t`Choose a zone`}
        required
        allowDeselect={false}
        data={zones}
        {...form.getInputProps('zone_id')}
        value={zoneId || null}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        {!agent && (
          <NumberInput
            label={t`Uses`}
            description={t`Number of machines that can join with the token`}
            {...form.getInputProps('uses')}
          />
        )}
        <AmountInput
          label={t`Lifetime`}
          description={t`At most 24 hours`}
          unit="hours"
          {...form.getInputProps('hours')}
        />
      </SimpleGrid>
      {role === 'agent' && !agent && (
        <Checkbox
          label={t`Enable at once`}
          description={t`If cleared, a new Agent gets no session, image or registry password until an administrator enables it.`}
          disabled={!mayEnable}
          {...form.getInputProps('enable_agent', { type: 'checkbox' })}
        />
      )}
    </FormFrame>
  );
}

/** Matches a join command whose address only this machine can reach. */
const LOOPBACK = /https:\/\/(127\.|localhost|\[::1\])/;

function Command({ token, onClose }: { token: Token; onClose: () => void }) {
  const { join_command, uses, zone_name: zone } = token;
  const expires = absolute(token.expires);
  return (
    <Stack>
      <Alert color="yellow" variant="light" role="status" title={t`The token is shown only once`}>
        {token.role === 'agent'
          ? t`Valid until ${expires}, for ${plural(uses, { one: '# Agent', other: '# Agents' })} of zone ${zone}.`
          : t`Valid until ${expires}, for ${plural(uses, { one: '# gateway', other: '# gateways' })} of zone ${zone}.`}
      </Alert>
      <Text size="sm">
        {token.role === 'agent'
          ? t`Run as root on the new machine, where Greenroom and Docker are installed:`
          : t`Run as root on the new machine, where Greenroom is installed:`}
      </Text>
      <Code block data-testid="join-command" className="anywhere wrapped">
        {join_command}
      </Code>
      {LOOPBACK.test(join_command) && (
        <Text size="sm">
          <Trans>
            Other machines cannot reach the address in this command. Start this deployment with{' '}
            <Code className="nowrap">--hostname</Code> and create another token.
          </Trans>
        </Text>
      )}
      <Joined token={token} />
      <Group justify="flex-end">
        <CopyButton value={join_command}>
          {({ copied, copy }) => (
            <Button variant="default" onClick={copy}>
              {copied ? t`Copied` : t`Copy command`}
            </Button>
          )}
        </CopyButton>
        <Button onClick={onClose}>{t`Done`}</Button>
      </Group>
    </Stack>
  );
}

/** The machines that joined after the token was created, updated live. */
function Joined({ token }: { token: Token }) {
  const agents = useQuery({ ...agentsQuery, enabled: token.role === 'agent' });
  const gateways = useQuery({ ...gatewaysQuery, enabled: token.role === 'gateway' });
  const tokens = useQuery(joinTokensQuery);
  const isNew = (row: { zone_id: string; registered: string }) =>
    row.zone_id === token.zone_id && Date.parse(row.registered) >= Date.parse(token.created);
  const used = tokens.data?.find(({ join_token_id }) => join_token_id === token.join_token_id)?.used ?? 0;
  const joined = token.agent_id
    ? (agents.data ?? []).filter(({ agent_id }) => agent_id === token.agent_id && used > 0)
    : [...(agents.data ?? []), ...(gateways.data ?? [])].filter(isNew);
  return (
    <Group gap="xs" role="status">
      {joined.length === 0 ? (
        <>
          <Loader size="xs" aria-hidden />
          <Text size="sm">
            {token.role === 'agent' ? t`Waiting for the Agent to join …` : t`Waiting for the gateway to join …`}
          </Text>
        </>
      ) : (
        joined.map((row) => (
          <Group key={row.hostname + row.registered} gap={6}>
            <IconCircleCheckFilled size={18} color="var(--gr-ready)" aria-hidden />
            <Text size="sm">
              <HasJoined row={row} />
            </Text>
          </Group>
        ))
      )}
    </Group>
  );
}

function HasJoined({ row }: { row: Agent | Gateway }) {
  const isAgent = 'agent_id' in row;
  const hostname = isAgent ? (
    <Anchor component={Link} to={`/admin/infrastructure/agents/${row.agent_id}`} inherit underline="always">
      {row.hostname}
    </Anchor>
  ) : (
    row.hostname
  );
  return !isAgent || row.enabled ? (
    <Trans>{hostname} has joined.</Trans>
  ) : (
    <Trans>{hostname} has joined and gets no session until it is enabled.</Trans>
  );
}
