import { t } from '@lingui/core/macro';
import { Menu } from '@mantine/core';
import { IconCheck } from '@tabler/icons-react';
import { DENSITIES, type Density, useDensity } from './useDensity';
import { useOwnPreference } from './useOwnPreference';

const TITLES: Record<Density, string> = {
  compact: t`Compact`,
  standard: t`Standard`,
  comfortable: t`Comfortable`,
};

/** The heights of rows, as a part of a menu. */
export function DensityChoice() {
  const chosen = useDensity();
  const keep = useOwnPreference();
  const choose = (density: Density) => {
    document.documentElement.dataset.density = density;
    keep({ density });
  };
  return (
    <Menu.RadioGroup value={chosen} onChange={(density) => choose(density as Density)}>
      {DENSITIES.map((density) => (
        <Menu.RadioItem key={density} value={density} closeMenuOnClick checkIcon={<IconCheck size={16} aria-hidden />}>
          {TITLES[density]}
        </Menu.RadioItem>
      ))}
    </Menu.RadioGroup>
  );
}
