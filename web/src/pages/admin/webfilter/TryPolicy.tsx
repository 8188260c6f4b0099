import { Alert, NumberInput, SimpleGrid, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { askFilterPolicy } from '../../../api/actions';
import type { FilterPolicy, Schemas } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { Dialog } from '../../../components/Dialog';

/** Checks whether a policy allows a site, and by which rule. */
export function TryPolicy({ policy, onClose }: { policy: FilterPolicy; onClose: () => void }) {
  const [verdict, setVerdict] = useState<Schemas['FilterDecisionView'] | null>(null);
  const form = useForm({ initialValues: { host: '', port: 443 } });
  return (
    <Dialog title={<>Test {policy.name}</>} onClose={onClose}>
      <FormFrame
        form={form}
        submit="Check the site"
        save={({ host, port }) => askFilterPolicy(policy.filter_policy_id, host.trim(), port)}
        touched={[]}
        repeatable
        onSaved={setVerdict}
        onCancel={onClose}
      >
        <SimpleGrid cols={2}>
          <TextInput
            label="Site"
            placeholder="docs.python.org"
            required
            data-autofocus
            spellCheck={false}
            {...form.getInputProps('host')}
          />
          <NumberInput
            label="Port"
            required
            min={1}
            max={65_535}
            allowDecimal={false}
            {...form.getInputProps('port')}
          />
        </SimpleGrid>
        {verdict && (
          <Alert
            color={verdict.action === 'allow' ? 'accent' : 'failure'}
            variant="light"
            role="status"
            title={`${verdict.host} is ${verdict.action === 'allow' ? 'open' : 'blocked'}`}
          >
            {verdict.reason}
          </Alert>
        )}
      </FormFrame>
    </Dialog>
  );
}
