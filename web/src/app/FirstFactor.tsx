import { Anchor, Stack } from '@mantine/core';
import { useQueryClient } from '@tanstack/react-query';
import { meQuery } from '../api/auth';
import { EnrollFactor } from '../components/EnrollFactor';
import { FirstStep } from './FirstStep';

/** The page after a log-in whose user must enroll a second factor. */
export function FirstFactor() {
  const queries = useQueryClient();
  return (
    <FirstStep title="Add a second factor" note="Your group requires one, in addition to your password." width={480}>
      {(logOut) => (
        <Stack>
          <EnrollFactor onDone={() => queries.invalidateQueries({ queryKey: meQuery.queryKey })} recoveryCodes={null} />
          <Anchor component="button" type="button" size="sm" onClick={logOut} maw="max-content">
            Log out
          </Anchor>
        </Stack>
      )}
    </FirstStep>
  );
}
