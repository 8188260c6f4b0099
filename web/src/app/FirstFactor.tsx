import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Anchor, Stack } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { meQuery } from '../api/auth';
import { EnrollFactor } from '../components/EnrollFactor';
import { Gate } from '../components/Gate';
import { useLogOut } from './useLogOut';

/** The page after a log-in whose user must enroll a second factor. The api refuses other requests until then. */
export function FirstFactor() {
  const queries = useQueryClient();
  const leave = useLogOut();
  return (
    <Gate title={t`Add a second factor`} note={t`Your group requires one, in addition to your password.`}>
      <Stack>
        <EnrollFactor onDone={() => queries.invalidateQueries({ queryKey: meQuery.queryKey })} recoveryCodes={null} />
        <Anchor component="button" type="button" size="sm" onClick={() => leave.mutate()}>
          <Trans>Log out</Trans>
        </Anchor>
      </Stack>
    </Gate>
  );
}
