import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Button, FileButton } from '@mantine/core';
import { IconPhotoUp } from '@tabler/icons-react';
import { removeLogo, uploadLogo, useBranding } from '../../../api/branding';
import { Logo } from '../../../app/Mark';
import { useAction } from '../../../components/useAction';
import styles from './LogoField.module.css';

/** Shows, uploads and removes the logo of the installation. */
export function LogoField({ disabled }: { disabled: boolean }) {
  const { logo_url } = useBranding();
  const upload = useAction(uploadLogo, ['branding'], t`The logo was not stored`);
  const remove = useAction(removeLogo, ['branding'], t`The logo was not removed`);
  return (
    <section className={styles.field} aria-label={t`Logo`}>
      <Logo size={40} />
      <div className={styles.words}>
        <div className={styles.title}>{t`Logo`}</div>
        <div className={styles.note}>
          <Trans>On the log-in page and in the header. PNG, JPEG or WebP of at most 1 MB; stored immediately.</Trans>
        </div>
      </div>
      <FileButton
        accept="image/png,image/jpeg,image/webp"
        disabled={disabled}
        onChange={(file) => file && upload.mutate(file)}
      >
        {(props) => (
          <Button
            {...props}
            size="compact-sm"
            variant="default"
            disabled={disabled}
            leftSection={<IconPhotoUp size={16} aria-hidden />}
            loading={upload.isPending}
          >
            <Trans>Upload Logo</Trans>
          </Button>
        )}
      </FileButton>
      {logo_url && (
        <Button
          size="compact-sm"
          variant="default"
          disabled={disabled}
          loading={remove.isPending}
          onClick={() => remove.mutate(undefined)}
        >
          <Trans>Remove Logo</Trans>
        </Button>
      )}
    </section>
  );
}
