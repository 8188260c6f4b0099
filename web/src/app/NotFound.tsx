import { Button } from '@mantine/core';
import { IconMapQuestion } from '@tabler/icons-react';
import { Link } from 'react-router';
import { EmptyState } from '../components/feedback';
import { PageHeader } from '../components/PageHeader';

export function NotFound() {
  return (
    <>
      <PageHeader title="Not found" />
      <EmptyState
        icon={IconMapQuestion}
        title="There is no page at this address"
        action={
          <Button component={Link} to="/">
            To the workspaces
          </Button>
        }
      />
    </>
  );
}
