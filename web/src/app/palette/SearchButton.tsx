import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Kbd, UnstyledButton } from '@mantine/core';
import { useDisclosure, useHotkeys } from '@mantine/hooks';
import { IconSearch } from '@tabler/icons-react';
import { Suspense } from 'react';
import { useMe } from '../../api/auth';
import { lazily } from '../../components/lazily';
import { isAdministrator } from '../../places';
import type { Props as PaletteProps } from './Palette';
import classes from './Palette.module.css';

const Palette = lazily<'Palette', PaletteProps>(() => import('./Palette'), 'Palette');

/** Opens the search palette, as do Ctrl-K and Cmd-K. Only administrators have it. */
export function SearchButton() {
  const me = useMe();
  const [isOpen, { open, close }] = useDisclosure(false);
  const may = isAdministrator(me);
  useHotkeys(may ? [['mod+K', open]] : [], []);
  if (!may || !me) return null;
  return (
    <>
      <UnstyledButton className={classes.button} onClick={open} aria-haspopup="dialog" aria-label={t`Search`}>
        <IconSearch size={16} aria-hidden />
        <span className={classes.label}>
          <Trans>Search</Trans>
        </span>
        <Kbd size="xs" className={classes.keys} data-keys={t`Ctrl K`} aria-hidden />
      </UnstyledButton>
      {isOpen && (
        <Suspense>
          <Palette me={me} onClose={close} />
        </Suspense>
      )}
    </>
  );
}
