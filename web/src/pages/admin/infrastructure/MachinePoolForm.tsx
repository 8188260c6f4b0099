import { Fieldset, NumberInput, PasswordInput, Select, SimpleGrid, Text, Textarea, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { changeMachinePool, createMachinePool } from '../../../api/actions';
import type { MachinePool } from '../../../api/types';
import { AmountInput } from '../../../components/AmountInput';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { JsonField } from '../../../components/JsonField';
import { jsonProblem } from '../../../components/json';
import { changed } from '../../../components/saving';
import { useZoneChoices } from '../../../components/useZoneChoices';
import { bodyOf, type Fields, fieldsOf, providersWith, textOf } from './machinePool';

const UNITS = { memory: 'B', standby_memory: 'B', idle_s: 's', order_deadline_s: 's' };

/** Create Machine Pool (`pool` is null), and Edit. A new pool orders no machines until it is enabled. */
export function MachinePoolForm({ pool, onClose }: { pool: MachinePool | null; onClose: () => void }) {
  const { choices: zones, only } = useZoneChoices();
  const form = useForm<Fields>({
    initialValues: fieldsOf(pool),
    validate: { ...checksOf('MachinePoolCreate', { units: UNITS }), options: jsonProblem, other_secrets: jsonProblem },
    validateInputOnChange: true,
  });
  const zone = form.getValues().zone_id || only;
  return (
    <FormDialog
      title={pool ? `Edit machine pool ${pool.name}` : 'Create Machine Pool'}
      size="lg"
      repeatable={pool !== null}
      form={form}
      save={(values, before) =>
        pool
          ? changeMachinePool(pool.machine_pool_id, changed(bodyOf(before), bodyOf(values)))
          : createMachinePool({ ...bodyOf(values), zone_id: zone })
      }
      touched={['machine-pools', 'machine-preview']}
      onClose={onClose}
      incomplete={!zone}
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label="Name"
          description="Lowercase letters, digits and dashes"
          required
          {...form.getInputProps('name')}
        />
        <Select
          label="Zone"
          description="The zone of its machines"
          placeholder="Choose a zone"
          required
          allowDeselect={false}
          disabled={pool !== null}
          data={zones}
          {...form.getInputProps('zone_id')}
          value={zone || null}
        />
      </SimpleGrid>
      <ProviderFields form={form} stored={pool?.secret_names ?? []} />
      <Fieldset legend="Each machine">
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <AmountInput
            label="Cores"
            description="The cores of one machine"
            unit="cores"
            {...form.getInputProps('cores')}
          />
          <AmountInput label="Memory" description="1 GB is 10⁹ bytes" unit="B" {...form.getInputProps('memory')} />
          <TextInput
            label="Address of its edge gateway"
            description="The gateway on a machine, which serves the streams of its sessions; {address} and {hostname} are replaced by those of the machine"
            {...form.getInputProps('edge_url')}
          />
          <TextInput
            label="Address of this deployment"
            description="The address at which the machines join; empty = the public URL"
            {...form.getInputProps('join_url')}
          />
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend="Number of machines">
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <NumberInput
            label="Minimum"
            description="The number of machines that the pool always keeps"
            {...form.getInputProps('min_machines')}
          />
          <NumberInput
            label="Maximum"
            description="Includes machines that are draining or being released"
            {...form.getInputProps('max_machines')}
          />
          <AmountInput
            label="Free cores"
            description="Kept free in the zone for new sessions"
            unit="cores"
            {...form.getInputProps('standby_cores')}
          />
          <AmountInput
            label="Free memory"
            description="Kept free in the zone for new sessions"
            unit="B"
            {...form.getInputProps('standby_memory')}
          />
          <AmountInput
            label="Idle time"
            description="A machine that is not needed for this time is drained"
            unit="s"
            {...form.getInputProps('idle_s')}
          />
          <AmountInput
            label="Join deadline"
            description="A machine that does not join within this time is released"
            unit="s"
            {...form.getInputProps('order_deadline_s')}
          />
        </SimpleGrid>
        <Textarea
          label="Schedule"
          description="One entry per line: days, hours, time zone, and the machines or cores to keep"
          placeholder="Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16"
          autosize
          minRows={2}
          mt="md"
          {...form.getInputProps('schedule')}
        />
      </Fieldset>
    </FormDialog>
  );
}

/** The label and the description of "Label: description". */
function titled(text: string) {
  const [label, description] = text.split(': ');
  return { label, description };
}

/** The provider of the machines, with its options and secrets. */
function ProviderFields({ form, stored }: { form: UseFormReturnType<Fields>; stored: string[] }) {
  const { provider } = form.getValues();
  const { texts, secrets } = textOf(provider);
  const note = stored.length > 0 ? `Stored: ${stored.join(', ')}. To replace them, enter all secrets again.` : '';
  return (
    <Fieldset legend="Provider">
      <Select
        label="Provider"
        description="The service that creates the machines"
        data={providersWith(provider).map((value) => ({ value, label: textOf(value).label }))}
        allowDeselect={false}
        {...form.getInputProps('provider')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }} mt="md">
        {Object.entries(texts).map(([name, text]) => (
          <TextInput key={name} {...titled(text)} required {...form.getInputProps(`texts.${name}`)} />
        ))}
        {Object.entries(secrets).map(([name, text]) => (
          <PasswordInput key={name} {...titled(text)} autoComplete="off" {...form.getInputProps(`secrets.${name}`)} />
        ))}
      </SimpleGrid>
      {provider !== 'simulated' && (
        <SimpleGrid cols={{ base: 1, xs: 2 }} mt="md">
          <JsonField label="Other options" description="JSON" {...form.getInputProps('options')} />
          <JsonField label="Other secrets" description="JSON, never shown" {...form.getInputProps('other_secrets')} />
        </SimpleGrid>
      )}
      {note && (
        <Text size="xs" c="dimmed" mt="xs">
          {note}
        </Text>
      )}
    </Fieldset>
  );
}
