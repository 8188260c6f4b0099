import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Skeleton } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { changeSettings, testSettings } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { settingsQuery } from '../../../api/queries';
import { StaleBanner } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { ownOf } from '../../../components/settings/items';
import { SettingsForm } from '../../../components/settings/SettingsForm';
import { serverText } from '../../../serverTexts';
import { LogoField } from './LogoField';

/** Infrastructure → Settings: the settings of the deployment. */
export function Settings() {
  const queries = useQueryClient();
  const settings = useQuery(settingsQuery);
  const mayChange = useAllowed()('settings_modify');
  const read = async () => {
    const values = await queries.query({ ...settingsQuery, staleTime: 0 });
    return Object.fromEntries(values.map((setting) => [setting.name, ownOf(setting, setting.value)]));
  };
  return (
    <>
      <PageHeader title={t`Settings`}>
        <Trans>Settings apply to the whole deployment and take effect within seconds.</Trans>
      </PageHeader>
      <StaleBanner error={settings.error} hasData={settings.data !== undefined} />
      {!settings.data && <Skeleton h={240} />}
      {settings.data && (
        <SettingsForm
          items={settings.data.map((setting) => ({
            setting,
            own: ownOf(setting, setting.value),
            inherited: setting.default,
          }))}
          fallback="Default"
          disabled={!mayChange}
          save={changeSettings}
          read={read}
          test={testSettings}
          touched={['settings', 'branding']}
          after={{ [serverText('Appearance')]: <LogoField disabled={!mayChange} /> }}
        />
      )}
    </>
  );
}
