import { t } from '@lingui/core/macro';
import { Fieldset, NumberInput, PasswordInput, Select, SimpleGrid, Text, Textarea, TextInput } from '@mantine/core';
import { useForm, type UseFormReturnType } from '@mantine/form';
import { example } from '../../../components/example';
import { changeMachinePool, createMachinePool } from '../../../api/actions';
import { machinePoolsQuery } from '../../../api/queries';
import type { MachinePool } from '../../../api/types';
import { AmountInput } from '../../../components/AmountInput';
import { checksOf } from '../../../components/checks';
import { FormDialog } from '../../../components/Form';
import { JsonField } from '../../../components/JsonField';
import { jsonProblem } from '../../../components/json';
import { changed } from '../../../components/saving';
import { useFreshItem } from '../../../components/useFreshItem';
import { useZoneChoices } from '../../../components/useZoneChoices';
import { bodyOf, type Fields, fieldsOf, providersWith, textOf } from './machinePool';

const UNITS = { memory: 'B', standby_memory: 'B', idle_s: 's', order_deadline_s: 's' };

/** Create Machine Pool (`pool` is null), and Edit. A new pool orders no machines until it is enabled. */
export function MachinePoolForm({ pool, onClose }: { pool: MachinePool | null; onClose: () => void }) {
  const { choices: zones, only } = useZoneChoices();
  const readAgain = useFreshItem(machinePoolsQuery, (each) => each.machine_pool_id === pool?.machine_pool_id);
  const form = useForm<Fields>({
    initialValues: fieldsOf(pool),
    validate: { ...checksOf('MachinePoolCreate', { units: UNITS }), options: jsonProblem, other_secrets: jsonProblem },
    validateInputOnChange: true,
  });
  const zone = form.getValues().zone_id || only;
  const name = pool?.name;
  const [address, hostname] = ['{address}', '{hostname}'];
  return (
    <FormDialog
      title={name !== undefined ? t`Edit machine pool ${name}` : t`Create Machine Pool`}
      size="lg"
      repeatable={pool !== null}
      form={form}
      save={(values, before) =>
        pool
          ? changeMachinePool(pool.machine_pool_id, changed(bodyOf(before), bodyOf(values)))
          : createMachinePool({ ...bodyOf(values), zone_id: zone })
      }
      touched={['machine-pools', 'machine-preview']}
      undo={
        name !== undefined
          ? {
              saved: t`${name} was saved.`,
              read: readAgain,
              valuesOf: fieldsOf,
              titles: { texts: t`Provider` },
              secrets: ['secrets', 'other_secrets'],
            }
          : undefined
      }
      onClose={onClose}
      missing={zone ? '' : t`Choose a zone.`}
      submit={name !== undefined ? t`Save` : t`Create`}
    >
      <SimpleGrid cols={{ base: 1, xs: 2 }}>
        <TextInput
          label={t`Name`}
          description={t`Lowercase letters, digits and dashes`}
          required
          {...form.getInputProps('name')}
        />
        <Select
          label={t`Zone`}
          description={t`The zone of its machines`}
          placeholder={t`Choose a zone`}
          required
          allowDeselect={false}
          disabled={pool !== null}
          data={zones}
          {...form.getInputProps('zone_id')}
          value={zone || null}
        />
      </SimpleGrid>
      <ProviderFields form={form} stored={pool?.secret_names ?? []} />
      <Fieldset legend={t`Each machine`}>
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <AmountInput
            label={t`Cores`}
            description={t`The cores of one machine`}
            unit="cores"
            {...form.getInputProps('cores')}
          />
          <AmountInput
            label={t`Memory`}
            description={t`1 GB is 10⁹ bytes`}
            unit="B"
            {...form.getInputProps('memory')}
          />
          <TextInput
            label={t`Address of its edge gateway`}
            description={t`The gateway on a machine, which serves the streams of its sessions; ${address} and ${hostname} are replaced by those of the machine`}
            {...form.getInputProps('edge_url')}
          />
          <TextInput
            label={t`Address of this deployment`}
            description={t`The address at which the machines join; empty = the public URL`}
            {...form.getInputProps('join_url')}
          />
        </SimpleGrid>
      </Fieldset>
      <Fieldset legend={t`Number of machines`}>
        <SimpleGrid cols={{ base: 1, xs: 2 }}>
          <NumberInput
            label={t`Minimum`}
            description={t`The number of machines that the pool always keeps`}
            {...form.getInputProps('min_machines')}
          />
          <NumberInput
            label={t`Maximum`}
            description={t`Includes machines that are draining or being released`}
            {...form.getInputProps('max_machines')}
          />
          <AmountInput
            label={t`Free cores`}
            description={t`Kept free in the zone for new sessions`}
            unit="cores"
            {...form.getInputProps('standby_cores')}
          />
          <AmountInput
            label={t`Free memory`}
            description={t`Kept free in the zone for new sessions`}
            unit="B"
            {...form.getInputProps('standby_memory')}
          />
          <AmountInput
            label={t`Idle time`}
            description={t`A machine that is not needed for this time is drained`}
            unit="s"
            {...form.getInputProps('idle_s')}
          />
          <AmountInput
            label={t`Join deadline`}
            description={t`A machine that does not join within this time is released`}
            unit="s"
            {...form.getInputProps('order_deadline_s')}
          />
        </SimpleGrid>
        <Textarea
          label={t`Schedule`}
          description={t`One entry per line: days, hours, time zone, and the machines or cores to keep`}
          placeholder={example('Mon-Fri 08:00-18:00 Europe/Berlin machines=3 cores=16')}
          autosize
          minRows={2}
          mt="md"
          {...form.getInputProps('schedule')}
        />
      </Fieldset>
    </FormDialog>
  );
}

/** The provider of the machines, with its options and secrets. */
function ProviderFields({ form, stored }: { form: UseFormReturnType<Fields>; stored: string[] }) {
  const { provider } = form.getValues();
  const { texts, secrets } = textOf(provider);
  const names = stored.join(', ');
  const note = names ? t`Stored: ${names}. To replace them, enter all secrets again.` : '';
  return (
    <Fieldset legend={t`Provider`}>
      <Select
        label={t`Provider`}
        description={t`The service that creates the machines`}
        data={providersWith(provider).map((value) => ({ value, label: textOf(value).label }))}
        allowDeselect={false}
        {...form.getInputProps('provider')}
      />
      <SimpleGrid cols={{ base: 1, xs: 2 }} mt="md">
        {Object.entries(texts).map(([name, text]) => (
          <TextInput key={name} {...text} required {...form.getInputProps(`texts.${name}`)} />
        ))}
        {Object.entries(secrets).map(([name, text]) => (
          <PasswordInput key={name} {...text} autoComplete="off" {...form.getInputProps(`secrets.${name}`)} />
        ))}
      </SimpleGrid>
      {provider !== 'simulated' && (
        <SimpleGrid cols={{ base: 1, xs: 2 }} mt="md">
          <JsonField label={t`Other options`} description="JSON" {...form.getInputProps('options')} />
          <JsonField
            label={t`Other secrets`}
            description={t`JSON, never shown`}
            {...form.getInputProps('other_secrets')}
          />
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
