import { plural, t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Stack, Text } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { type Factor, type OwnFactors, removeFactor } from '../../api/secondFactors';
import { EnrollFactor, useConfirmation } from '../../components/EnrollFactor';
import { FactorTable } from '../../components/FactorTable';
import { RemoveAction } from '../../components/RowAction';

/** The second factors of the user. */
export function SecondFactors({ own }: { own: OwnFactors }) {
  const queries = useQueryClient();
  const { confirmed, prompt } = useConfirmation();
  const { factors, recovery_codes, required } = own;
  const remove = (factor: Factor) => (
    <RemoveAction
      word="Remove"
      name={factor.name}
      onConfirm={() => confirmed(() => removeFactor(factor.factor_id))}
      touched={['me']}
    >
      <Trans>You can no longer log in with it.</Trans>
    </RemoveAction>
  );
  const sentences = [
    t`A log-in with your password then needs one of them.`,
    required && t`Your group requires at least one.`,
    factors.length > 0 && t`You have ${plural(recovery_codes, { one: '# recovery code', other: '# recovery codes' })}.`,
  ];
  return (
    <Stack>
      <Text size="sm">{sentences.filter(Boolean).join(' ')}</Text>
      <FactorTable factors={factors} action={remove} />
      <EnrollFactor
        onDone={() => queries.invalidateQueries({ queryKey: ['me'] })}
        recoveryCodes={factors.length > 0 ? recovery_codes : null}
      />
      {prompt}
    </Stack>
  );
}
