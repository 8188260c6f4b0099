import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { Link } from 'react-router';
import { EmptyState } from '../components/feedback';
import { PageHeader } from '../components/PageHeader';

export function NotFound() {
  return (
    <>
      <PageHeader title={t`Not found`} />
      <EmptyState
        icon={IconMapQuestion}
        title={t`There is no page at this address`}
        action={
          <Button component={Link} to="/">
            <Trans>To the workspaces</Trans>
          </Button>
        }
      />
    </>
  );
}
