import { t } from '@lingui/core/macro';
import { Input } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { catalogueQuery } from '../../../api/queries';
import type { WorkspaceFields } from './fields';
import styles from './PictureChoice.module.css';

/** The pictures of Greenroom's own catalogue, to choose one for the workspace. Nothing without them. */
export function PictureChoice({ form }: { form: WorkspaceFields }) {
  const catalogue = useQuery(catalogueQuery);
  const pictures = (catalogue.data ?? []).flatMap(({ name, friendly_name, picture_url, source }) =>
    source === '' && picture_url ? [{ name, title: friendly_name, address: picture_url }] : [],
  );
  if (pictures.length === 0) return null;
  const chosen = form.getValues().image_src;
  return (
    <Input.Wrapper
      label={t`Pictures of Greenroom`}
      labelElement="div"
      description={t`A choice is saved with the other fields`}
    >
      <div role="radiogroup" aria-label={t`Pictures of Greenroom`} className={styles.pictures}>
        {pictures.map(({ name, title, address }) => (
          <label key={name} className={styles.picture} title={title}>
            <input
              type="radio"
              className={styles.input}
              name="picture"
              aria-label={title}
              checked={chosen === address}
              onChange={() => form.setFieldValue('image_src', address)}
            />
            <img src={address} width={64} height={40} alt="" />
          </label>
        ))}
      </div>
    </Input.Wrapper>
  );
}
