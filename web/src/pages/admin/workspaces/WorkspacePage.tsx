import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, Container } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { deleteImage, refreshImage } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { imageQuery } from '../../../api/queries';
import type { Image } from '../../../api/types';
import { useItem } from '../../../components/address';
import { Confirm } from '../../../components/Confirm';
import { DetailsPage, type Tab } from '../../../components/DetailsPage';
import { showDone } from '../../../components/feedback';
import { HomesTable } from '../../../components/HomesTable';
import { useAction } from '../../../components/useAction';
import { SessionsTable } from '../sessions/SessionsTable';
import { KEPT_HOMES } from './fields';
import { ImageAgents } from './ImageAgents';
import { WorkspaceForm } from './WorkspaceForm';

const LIST = { to: '/admin/workspaces', title: t`Workspaces` };

/** One workspace: its settings, the Agents that have its image, and its sessions. */
export function WorkspacePage() {
  const { imageId = '' } = useItem();
  const image = useQuery(imageQuery(imageId));
  const allowed = useAllowed();
  const tabs = (data: Image): Tab[] => [
    {
      key: 'details',
      title: t`Details`,
      content: (
        <Container size="md" ml={0} px={0}>
          <WorkspaceForm image={data} disabled={!allowed('images_modify')} />
        </Container>
      ),
    },
    { key: 'agents', title: t`Agents`, content: <ImageAgents image={data} /> },
    ...(allowed('homes_view') && data.persistent_profile_path === KEPT_HOMES
      ? [{ key: 'homes', title: t`Home Folders`, content: <HomesTable of={{ image_id: data.image_id }} /> }]
      : []),
    ...(allowed('sessions_view')
      ? [
          {
            key: 'sessions',
            title: t`Sessions`,
            content: <SessionsTable of={{ image_id: data.image_id }} />,
          },
        ]
      : []),
  ];
  return (
    <DetailsPage
      list={LIST}
      query={image}
      title={({ friendly_name }) => friendly_name}
      note={({ name }) => name}
      actions={(data) => (
        <>
          {allowed('images_modify') && data.enabled && <RefreshImage image={data} />}
          {allowed('images_delete') && <DeleteWorkspace image={data} />}
        </>
      )}
      tabs={tabs}
    />
  );
}

function RefreshImage({ image }: { image: Image }) {
  const refresh = useAction(
    async () => {
      await refreshImage(image.image_id);
      showDone(t`The Agents check the registry for a newer image.`);
    },
    ['images'],
    t`The image was not refreshed`,
  );
  return (
    <Button variant="default" loading={refresh.isPending} onClick={() => refresh.mutate(undefined)}>
      <Trans>Refresh Image</Trans>
    </Button>
  );
}

function DeleteWorkspace({ image }: { image: Image }) {
  const name = image.friendly_name;
  return (
    <Confirm
      title={t`Delete workspace ${name}?`}
      action={t`Delete`}
      onConfirm={() => deleteImage(image.image_id)}
      to={LIST.to}
      touched={['images', 'groups', 'launcher']}
      trigger={t`Delete Workspace`}
    >
      <Trans>Users can no longer launch this workspace. The container image stays on the hosts that have it.</Trans>
    </Confirm>
  );
}
