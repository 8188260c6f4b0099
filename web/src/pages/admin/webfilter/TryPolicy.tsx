import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, NumberInput, SimpleGrid, TextInput } from '@mantine/core';
import { useForm } from '@mantine/form';
import { useState } from 'react';
import { example } from '../../../components/example';
import { askFilterPolicy } from '../../../api/actions';
import type { FilterPolicy, Schemas } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { Dialog } from '../../../components/Dialog';

/** Checks whether a policy allows a site, and by which rule. */
export function TryPolicy({ policy, onClose }: { policy: FilterPolicy; onClose: () => void }) {
  const [verdict, setVerdict] = useState<Schemas['FilterDecisionView'] | null>(null);
  const form = useForm({ initialValues: { host: '', port: 443 } });
  const { name } = policy;
  const host = verdict?.host ?? '';
  return (
    <Dialog title={<Trans>Test {name}</Trans>} onClose={onClose}>
      <FormFrame
        form={form}
        submit={t`Check the site`}
        save={(asked) => askFilterPolicy(policy.filter_policy_id, asked.host.trim(), asked.port)}
        touched={[]}
        repeatable
        onSaved={setVerdict}
        onCancel={onClose}
      >
        <SimpleGrid cols={2}>
          <TextInput
            label={t`Site`}
            placeholder={example('docs.python.org')}
            required
            data-autofocus
            spellCheck={false}
            {...form.getInputProps('host')}
          />
          <NumberInput
            label={t`Port`}
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
            title={verdict.action === 'allow' ? t`${host} is open` : t`${host} is blocked`}
          >
            {verdict.reason}
          </Alert>
        )}
      </FormFrame>
    </Dialog>
  );
}
