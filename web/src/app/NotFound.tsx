import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { Link, useLocation } from 'react-router';
import { EmptyState } from '../components/feedback';
import { PageHeader } from '../components/PageHeader';

/** The page for an unknown address. It leads back to the part of the console that the address belongs to. */
export function NotFound() {
  const isAdministration = useLocation().pathname.startsWith('/admin');
  return (
    <>
      <PageHeader title={t`Not found`} />
      <EmptyState
        icon={IconMapQuestion}
        title={t`There is no page at this address`}
        action={
          <Button component={Link} to={isAdministration ? '/admin' : '/'}>
            {isAdministration ? <Trans>Back to Today</Trans> : <Trans>To the workspaces</Trans>}
          </Button>
        }
      />
    </>
  );
}
