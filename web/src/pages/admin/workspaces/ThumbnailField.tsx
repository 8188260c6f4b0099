import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, FileButton, Group, Input } from '@mantine/core';
import { IconPhotoUp } from '@tabler/icons-react';
import { removePicture, uploadPicture } from '../../../api/actions';
import type { Image } from '../../../api/types';
import { ImageIcon } from '../../../components/ImageIcon';
import { useAction } from '../../../components/useAction';
import type { WorkspaceFields } from './fields';

const TOUCHED = ['images', 'catalogue', 'launcher'];

interface Props {
  image: Image;
  form: WorkspaceFields;
}

/** Shows, uploads and removes the picture of a workspace. An uploaded picture is stored immediately, without the form. */
export function ThumbnailField({ image, form }: Props) {
  const stored = ({ image_src }: Image) => {
    form.setInitialValues({ ...form.getInitialValues(), image_src });
    form.setFieldValue('image_src', image_src);
  };
  const upload = useAction(
    async (file: File) => stored(await uploadPicture(image.image_id, file)),
    TOUCHED,
    t`The picture was not stored`,
  );
  const remove = useAction(
    async () => stored(await removePicture(image.image_id)),
    TOUCHED,
    t`The picture was not removed`,
  );
  const isUploaded = image.image_src.startsWith(`/api/v1/images/${image.image_id}/picture`);
  return (
    <Input.Wrapper
      label={t`Thumbnail`}
      labelElement="div"
      description={t`PNG, JPEG or WebP of at most 1 MB; stored immediately`}
    >
      <Group gap="sm" mt={6}>
        <ImageIcon name={image.friendly_name} src={image.image_src} size={56} />
        <FileButton accept="image/png,image/jpeg,image/webp" onChange={(file) => file && upload.mutate(file)}>
          {(props) => (
            <Button
              {...props}
              size="compact-md"
              variant="default"
              leftSection={<IconPhotoUp size={16} aria-hidden />}
              loading={upload.isPending}
            >
              <Trans>Upload Thumbnail</Trans>
            </Button>
          )}
        </FileButton>
        {isUploaded && (
          <Button size="compact-md" variant="default" loading={remove.isPending} onClick={() => remove.mutate()}>
            <Trans>Remove Thumbnail</Trans>
          </Button>
        )}
      </Group>
    </Input.Wrapper>
  );
}
