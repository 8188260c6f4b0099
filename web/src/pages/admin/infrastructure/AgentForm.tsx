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

/** The cores and the memory that an Agent offers to sessions, if they differ from those of its host. */
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
        The host has {counted(agent.cores_reported, 'core')} and {bytes(agent.memory_reported)}. Offer more if sessions
        are mostly idle, or less to keep resources for other programs. Running sessions are not changed.
      </Text>
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <NumberInput
          label="Cores Override"
          description="Empty = the cores of the host times the overcommit factor (GREENROOM_CPU_OVERCOMMIT of the Managers, 16 by default)"
          min={0.1}
          decimalScale={2}
          {...form.getInputProps('cores')}
        />
        <NumberInput
          label="Memory Override (MB)"
          description="Empty = the memory of the host"
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
