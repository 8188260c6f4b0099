import { t } from '@lingui/core/macro';
import { Plural, Trans } from '@lingui/react/macro';
import { SimpleGrid, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useQueryClient } from '@tanstack/react-query';
import { changeAgent } from '../../../api/actions';
import { agentQuery } from '../../../api/queries';
import type { Agent } from '../../../api/types';
import { AmountInput } from '../../../components/AmountInput';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { bytes } from '../../../components/format';

interface Fields {
  cores_override: number | '';
  memory_override: number | '';
}

const CHECKS = checksOf('AgentPatch', {
  optional: ['cores_override', 'memory_override'],
  units: { cores_override: 'cores', memory_override: 'B' },
});

/** The cores and the memory that an Agent offers to sessions, if they differ from those of its host. */
export function AgentForm({ agent, onClose }: { agent: Agent; onClose: () => void }) {
  const form = useForm<Fields>({
    initialValues: fieldsOf(agent),
    validate: CHECKS,
    validateInputOnChange: true,
  });
  const queries = useQueryClient();
  const { hostname, cores_reported: cores } = agent;
  const memory = bytes(agent.memory_reported);
  return (
    <FormDialog
      title={t`Edit Agent ${hostname}`}
      form={form}
      save={(values, before) => changeAgent(agent.agent_id, changed(bodyOf(before), bodyOf(values)))}
      touched={['agents']}
      repeatable
      undo={{
        saved: t`Agent ${hostname} was saved.`,
        read: () => queries.query({ ...agentQuery(agent.agent_id), staleTime: 0 }),
        valuesOf: fieldsOf,
      }}
      onClose={onClose}
    >
      <Text size="sm">
        <Trans>
          The host has <Plural value={cores} one="# core" other="# cores" /> and {memory}. Offer more if sessions are
          mostly idle, or less to keep resources for other programs. Running sessions are not changed.
        </Trans>
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <AmountInput
          label={t`Cores Override`}
          description={t`Empty = the cores of the host times the overcommit factor (GREENROOM_CPU_OVERCOMMIT of the Managers, 16 by default)`}
          unit="cores"
          {...form.getInputProps('cores_override')}
        />
        <AmountInput
          label={t`Memory Override`}
          description={t`Empty = the memory of the host`}
          unit="B"
          {...form.getInputProps('memory_override')}
        />
      </SimpleGrid>
    </FormDialog>
  );
}

function fieldsOf({ cores_override, memory_override }: Agent): Fields {
  return { cores_override: cores_override ?? '', memory_override: memory_override ?? '' };
}

function bodyOf({ cores_override, memory_override }: Fields) {
  return {
    cores_override: cores_override === '' ? null : cores_override,
    memory_override: memory_override === '' ? null : memory_override,
  };
}
