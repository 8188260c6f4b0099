import { t } from '@lingui/core/macro';
import { ActionIcon, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { IconMoon, IconSun } from '@tabler/icons-react';
import { useEffect } from 'react';
import { ownAttributesQuery } from '../api/ownAttributes';
import { useOwnPreference } from '../components/useOwnPreference';

/** Switches between light and dark. The choice is the attribute `theme` of the user and applies on all machines. */
export function SchemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const theme = useQuery(ownAttributesQuery).data?.theme;
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? t`Use light colors` : t`Use dark colors`;
  useEffect(() => {
    if (theme) setColorScheme(theme);
  }, [theme, setColorScheme]);
  const keep = useOwnPreference();
  const choose = () => {
    const next = dark ? 'light' : 'dark';
    setColorScheme(next);
    keep({ theme: next });
  };
  return (
    <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} data-hint={label} onClick={choose}>
      {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
    </ActionIcon>
  );
}
