import { Button, Skeleton, Stack } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { useLocation } from 'react-router';
import { changeSettings } from '../../../api/actions';
import { useAllowed } from '../../../api/auth';
import { settingsQuery } from '../../../api/queries';
import { StaleBanner } from '../../../components/feedback';
import { PageHeader } from '../../../components/PageHeader';
import { SettingRow } from '../../../components/SettingRow';
import { factsOf } from '../groups/settingTexts';
import { LogoField } from './LogoField';

/** Rules & Logs → Settings: the settings of the deployment. A value is saved when the focus leaves its field. */
export function Settings() {
  const settings = useQuery(settingsQuery);
  const mayChange = useAllowed()('settings_modify');
  const { hash } = useLocation();
  const isLoaded = settings.data !== undefined;
  useEffect(() => {
    if (isLoaded && hash) document.getElementById(hash.slice(1))?.scrollIntoView({ block: 'center' });
  }, [isLoaded, hash]);
  return (
    <>
      <PageHeader title="Settings">Settings apply to the whole deployment and take effect within seconds.</PageHeader>
      <Stack gap="sm">
        <StaleBanner error={settings.error} hasData={settings.data !== undefined} />
        {!settings.data && <Skeleton h={240} />}
        {settings.data && <LogoField disabled={!mayChange} />}
        {settings.data?.map((setting) => (
          <SettingRow
            key={setting.name}
            setting={setting}
            value={setting.value}
            facts={factsOf(setting)}
            save={(value) => changeSettings({ [setting.name]: value })}
            touched="settings"
            disabled={!mayChange}
            beside={(reset) =>
              JSON.stringify(setting.value) !== JSON.stringify(setting.default) && (
                <Button
                  size="compact-xs"
                  variant="default"
                  disabled={!mayChange}
                  onClick={reset}
                  miw="max-content"
                  aria-label={`Reset to default: ${setting.name}`}
                >
                  Reset to default
                </Button>
              )
            }
          />
        ))}
      </Stack>
    </>
  );
}
