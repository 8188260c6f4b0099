import { useForm } from '@mantine/form';
import { changeImage, createImage } from '../../../api/actions';
import type { Image } from '../../../api/types';
import { FormFrame } from '../../../components/Form';
import { changed } from '../../../components/saving';
import { bodyOf, CHECKS, fieldsOf, type Fields, JSON_FIELDS } from './fields';
import {
  AccessFields,
  ContainerFields,
  ConfigFields,
  GeneralFields,
  PageFields,
  PlacementFields,
  SessionFields,
} from './sections';

interface Props {
  /** Null = a new workspace. */
  image: Image | null;
  disabled?: boolean;
  onSaved: (saved: Image) => void;
  onCancel?: () => void;
}

/** All fields of a workspace. Unchanged fields are not sent. */
export function WorkspaceForm({ image, disabled = false, onSaved, onCancel }: Props) {
  const form = useForm<Fields>({
    initialValues: fieldsOf(image),
    validate: CHECKS,
    validateInputOnChange: [...JSON_FIELDS],
  });
  const save = (fields: Fields, before: Fields) => {
    const body = bodyOf(fields);
    const changes = changed(bodyOf(before), body);
    const { name, friendly_name } = body;
    return image ? changeImage(image.image_id, changes) : createImage({ ...changes, name, friendly_name });
  };
  return (
    <FormFrame
      form={form}
      save={save}
      touched={['images', 'groups', 'launcher']}
      onSaved={onSaved}
      repeatable={image !== null}
      readOnly={disabled}
      {...(onCancel ? { onCancel } : {})}
    >
      <GeneralFields form={form} image={image} />
      <ContainerFields form={form} />
      <PageFields form={form} />
      <AccessFields form={form} />
      <PlacementFields form={form} />
      <SessionFields form={form} />
      <ConfigFields form={form} />
    </FormFrame>
  );
}
