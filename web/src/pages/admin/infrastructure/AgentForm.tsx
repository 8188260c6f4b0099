import { NumberInput, SimpleGrid, Text } from '@mantine/core';
import { useForm } from '@mantine/form';
import { changeAgent } from '../../../api/actions';
import type { Agent } from '../../../api/types';
import { FormDialog } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { bytes, counted } from '../../../components/format';

const MB = 1_000_000;

interface Fields {
  cores: number | '';
  memory: number | '';
}

/** What an Agent offers to sessions, where that is not what its host has. */
export function AgentForm({ agent, onClose }: { agent: Agent; onClose: () => void }) {
  const form = useForm<Fields>({
    initialValues: {
      cores: agent.cores_override ?? '',
      memory: agent.memory_override ? Math.round(agent.memory_override / MB) : '',
    },
  });
  return (
    <FormDialog
      title={`Edit Agent ${agent.hostname}`}
      form={form}
      save={(values, before) => changeAgent(agent.agent_id, changed(bodyOf(before), bodyOf(values)))}
      touched={['agents']}
      repeatable
      onClose={onClose}
    >
      <Text size="sm">
        The host has {counted(agent.cores_reported, 'core')} and {bytes(agent.memory_reported)}. Offer more where
        sessions are mostly idle, or less to keep some for other things. Sessions that run already stay.
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput
          label="Cores Override"
          description="Empty = those of the host, each several times"
          min={0.1}
          decimalScale={2}
          {...form.getInputProps('cores')}
        />
        <NumberInput
          label="Memory Override (MB)"
          description="Empty = what the host has"
          min={1}
          {...form.getInputProps('memory')}
        />
      </SimpleGrid>
    </FormDialog>
  );
}

function bodyOf({ cores, memory }: Fields) {
  return {
    cores_override: cores === '' ? null : cores,
    memory_override: memory === '' ? null : Math.round(memory * MB),
  };
}
