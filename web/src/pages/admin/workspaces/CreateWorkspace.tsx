import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Container } from '@mantine/core';
import { useNavigate } from 'react-router';
import { showDone } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { WorkspaceForm } from './WorkspaceForm';

/** Add Workspace. Its page opens after the workspace is created. */
export function CreateWorkspace() {
  const navigate = useNavigate();
  return (
    <>
      <PageHeader title={t`Add Workspace`}>
        <Trans>A workspace is a container image with a name, resources and the groups that may launch it.</Trans>
      </PageHeader>
      <Container size="md" ml={0} px={0}>
        <WorkspaceForm
          image={null}
          onSaved={({ image_id, friendly_name }) => {
            showDone(t`${{ name: friendly_name }} was added.`);
            void navigate(`/admin/workspaces/${image_id}`);
          }}
          onCancel={() => void navigate('/admin/workspaces')}
        />
      </Container>
    </>
  );
}
