import { ActionIcon, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { IconMoon, IconSun } from '@tabler/icons-react';
import { useEffect } from 'react';
import { changeOwnAttributes } from '../api/actions';
import { ownAttributesQuery } from '../api/queries';
import { useAction } from '../components/useAction';

/** Switches between light and dark. The choice is the attribute `theme` of the user and applies on all machines. */
export function SchemeButton() {
  const { setColorScheme } = useMantineColorScheme();
  const queries = useQueryClient();
  const { data } = useQuery(ownAttributesQuery);
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? 'Use light colors' : 'Use dark colors';
  const theme = data?.theme;
  useEffect(() => {
    if (theme) setColorScheme(theme);
  }, [theme, setColorScheme]);
  const keep = useAction(
    (next: 'light' | 'dark') => changeOwnAttributes({ theme: next }),
    [],
    'The choice was not saved',
  );
  const choose = () => {
    const next = dark ? 'light' : 'dark';
    setColorScheme(next);
    keep.mutate(next, { onSuccess: (saved) => queries.setQueryData(ownAttributesQuery.queryKey, saved) });
  };
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} onClick={choose}>
        {dark ? <IconSun size={18} /> : <IconMoon size={18} />}
      </ActionIcon>
    </Tooltip>
  );
}
