/** Mantine's theme, derived from the tokens (tokens.css): no color is defined here. */

import { t } from '@lingui/core/macro';
import { type CSSVariablesResolver, createTheme, type MantineColorsTuple } from '@mantine/core';

/** The hues of the tokens. Green (`ready`) means ready or live, and nothing else. */
export const HUES = ['accent', 'ready', 'staged', 'warning', 'failure', 'neutral'] as const;
export type Hue = (typeof HUES)[number];

/** The hues by the names of Mantine's colors, which its own components use. */
const MANTINE_NAMES: Record<string, Hue> = {
  blue: 'accent',
  green: 'ready',
  teal: 'ready',
  violet: 'staged',
  yellow: 'warning',
  orange: 'warning',
  red: 'failure',
};

/** Every color name that a component may have, with its hue. `gray` is also the scale of neutral surfaces. */
const HUE_OF: Record<string, Hue> = {
  ...Object.fromEntries(HUES.map((hue) => [hue, hue])),
  ...MANTINE_NAMES,
  gray: 'neutral',
};

/** Ten shades, from the tint of a background to the color of text. */
function shadesOf(hue: Hue): MantineColorsTuple {
  const [tint, plain, text] = [`var(--gr-${hue}-surface)`, `var(--gr-${hue})`, `var(--gr-${hue}-text)`];
  return [tint, tint, tint, plain, plain, plain, plain, plain, text, text];
}

/** Surfaces, lines and texts in the order in which Mantine uses its grays. They change with the theme. */
const NEUTRAL_SHADES: MantineColorsTuple = [
  'var(--gr-surface-sunken)',
  'var(--gr-surface-sunken)',
  'var(--gr-border)',
  'var(--gr-border)',
  'var(--gr-border-strong)',
  'var(--gr-border-strong)',
  'var(--gr-text-muted)',
  'var(--gr-text-muted)',
  'var(--gr-text)',
  'var(--gr-text)',
];

/** The same in the order in which Mantine uses its dark colors. */
const DARK_SHADES: MantineColorsTuple = [
  'var(--gr-text)',
  'var(--gr-text-muted)',
  'var(--gr-text-muted)',
  'var(--gr-border-strong)',
  'var(--gr-border)',
  'var(--gr-neutral-surface)',
  'var(--gr-surface-raised)',
  'var(--gr-surface)',
  'var(--gr-surface-sunken)',
  'var(--gr-surface-sunken)',
];

export const theme = createTheme({
  colors: {
    ...Object.fromEntries(Object.entries(HUE_OF).map(([name, hue]) => [name, shadesOf(hue)])),
    gray: NEUTRAL_SHADES,
    dark: DARK_SHADES,
  },
  primaryColor: 'accent',
  black: 'var(--gr-text)',
  fontFamily: "'Inter Variable', 'Inter Fallback', system-ui, sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'Cascadia Mono', 'Liberation Mono', monospace",
  fontSizes: { xs: '12px', sm: '13px', md: '14px', lg: '16px', xl: '20px' },
  lineHeights: { xs: '1.34', sm: '1.54', md: '1.5', lg: '1.5', xl: '1.4' },
  radius: { xs: '2px', sm: '4px', md: '6px', lg: '10px', xl: '16px' },
  shadows: { xs: 'none', sm: 'none', md: 'var(--gr-shadow)', lg: 'var(--gr-shadow)', xl: 'var(--gr-shadow)' },
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  fontSmoothing: true,
  headings: {
    fontWeight: '600',
    sizes: {
      h1: { fontSize: '20px', lineHeight: '28px' },
      h2: { fontSize: '16px', lineHeight: '24px' },
      h3: { fontSize: '14px', lineHeight: '20px' },
      h4: { fontSize: '13px', lineHeight: '20px' },
    },
  },
  components: {
    Badge: { defaultProps: { tt: 'none', fw: 500, radius: 'sm' } },
    // Its text describes its element, so screen readers must not find it also at the end of the page.
    Tooltip: { defaultProps: { withArrow: true, openDelay: 250, 'aria-hidden': true } },
    Modal: { defaultProps: { centered: true, closeButtonProps: { 'aria-label': t`Close` } } },
    // A <header> would be a second banner of the page.
    ModalHeader: { defaultProps: { component: 'div' } },
    DrawerHeader: { defaultProps: { component: 'div' } },
    // A typed value is sent unchanged. An invalid value is refused at its field instead of being replaced.
    NumberInput: { defaultProps: { clampBehavior: 'none' } },
    PasswordInput: { defaultProps: { visibilityToggleButtonProps: { 'aria-label': t`Show the password` } } },
    Switch: { defaultProps: { withThumbIndicator: false } },
    // A list opens on a click, an arrow key or typing. A dialog gives its first field the focus, and an open list would
    // cover the buttons.
    Autocomplete: { defaultProps: { openOnFocus: false } },
    MultiSelect: { defaultProps: { openOnFocus: false } },
    Select: { defaultProps: { openOnFocus: false } },
    TagsInput: { defaultProps: { openOnFocus: false } },
  },
});

function variablesOf([name, hue]: [string, Hue]): [string, string][] {
  const variable = (suffix: string, value: string): [string, string] => [`--mantine-color-${name}-${suffix}`, value];
  return [
    variable('text', `var(--gr-${hue}-text)`),
    variable('filled', `var(--gr-${hue}-fill)`),
    variable('filled-hover', `color-mix(in srgb, var(--gr-${hue}-fill), var(--gr-black) 14%)`),
    variable('light', `var(--gr-${hue}-surface)`),
    variable('light-hover', `color-mix(in srgb, var(--gr-${hue}-surface), var(--gr-${hue}) 12%)`),
    variable('light-color', `var(--gr-${hue}-text)`),
    variable('outline', `var(--gr-${hue})`),
    variable('outline-hover', `var(--gr-${hue}-surface)`),
  ];
}

/** Mantine's variables, in both themes references to the tokens. */
const REFERENCES: Record<string, string> = {
  ...Object.fromEntries(Object.entries(HUE_OF).flatMap(variablesOf)),
  '--mantine-primary-color-contrast': 'var(--mantine-color-white)',
  '--mantine-color-bright': 'var(--gr-text)',
  '--mantine-color-text': 'var(--gr-text)',
  '--mantine-color-body': 'var(--gr-surface)',
  '--mantine-color-dimmed': 'var(--gr-text-muted)',
  '--mantine-color-placeholder': 'var(--gr-text-muted)',
  '--mantine-color-anchor': 'var(--gr-accent)',
  '--mantine-color-error': 'var(--gr-failure)',
  '--mantine-color-success': 'var(--gr-ready)',
  '--mantine-color-default': 'var(--gr-surface-raised)',
  '--mantine-color-default-hover': 'var(--gr-surface-sunken)',
  '--mantine-color-default-color': 'var(--gr-text)',
  '--mantine-color-default-border': 'var(--gr-border)',
  '--mantine-color-disabled': 'var(--gr-surface-sunken)',
  '--mantine-color-disabled-color': 'var(--gr-text-muted)',
  '--mantine-color-disabled-border': 'var(--gr-border)',
};

export const cssVariables: CSSVariablesResolver = () => ({ variables: {}, light: REFERENCES, dark: REFERENCES });
