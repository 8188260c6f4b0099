import { ActionIcon, Menu } from '@mantine/core';
import { IconCheck, IconLineHeight } from '@tabler/icons-react';

import { DENSITIES, type Density, useDensity } from './useDensity';
import { useOwnPreference } from './useOwnPreference';

/** The menu that changes the height of rows. */
export function DensityButton() {
  const chosen = useDensity();
  const keep = useOwnPreference();
  const choose = (density: Density) => {
    document.documentElement.dataset.density = density;
    keep({ density });
  };
  return (
    <Menu position="bottom-end">
      <Menu.Target>
        <ActionIcon variant="subtle" color="gray" size="lg" aria-label="Height of rows" data-hint="Height of rows">
          <IconLineHeight size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.RadioGroup value={chosen} onChange={(density) => choose(density as Density)}>
          {DENSITIES.map((density) => (
            <Menu.RadioItem
              key={density}
              value={density}
              closeMenuOnClick
              checkIcon={<IconCheck size={16} aria-hidden />}
            >
              {density.charAt(0).toUpperCase() + density.slice(1)}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
      </Menu.Dropdown>
    </Menu>
  );
}
