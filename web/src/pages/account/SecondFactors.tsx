import { Skeleton, Stack, Text } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { type Factor, ownFactorsQuery, removeFactor } from '../../api/secondFactors';
import { EnrollFactor, useConfirmation } from '../../components/EnrollFactor';
import { FactorTable } from '../../components/FactorTable';
import { counted } from '../../components/format';
import { RemoveAction } from '../../components/RowAction';
import styles from './Account.module.css';

/** The second factors of the user. */
export function SecondFactors() {
  const queries = useQueryClient();
  const own = useQuery(ownFactorsQuery);
  const { confirmed, prompt } = useConfirmation();
  if (!own.data) return <Skeleton className={styles.factors} />;
  const { factors, recovery_codes, required } = own.data;
  const remove = (factor: Factor) => (
    <RemoveAction
      word="Remove"
      name={factor.name}
      onConfirm={() => confirmed(() => removeFactor(factor.factor_id))}
      touched={['me']}
    >
      You can no longer log in with it.
    </RemoveAction>
  );
  return (
    <Stack>
      <Text size="sm">
        A log-in with your password then needs one of them.
        {required && ' Your group requires at least one.'}
        {factors.length > 0 && ` You have ${counted(recovery_codes, 'recovery code')}.`}
      </Text>
      <FactorTable factors={factors} action={remove} />
      <EnrollFactor
        onDone={() => queries.invalidateQueries({ queryKey: ['me'] })}
        recoveryCodes={factors.length > 0 ? recovery_codes : null}
      />
      {prompt}
    </Stack>
  );
}
