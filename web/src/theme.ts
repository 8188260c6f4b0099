import { type CSSVariablesResolver, createTheme } from '@mantine/core';

/** The theme of the console. Its shades have a contrast of at least AA in light and dark, which axe checks. */
export const theme = createTheme({
  primaryColor: 'teal',
  primaryShade: { light: 9, dark: 8 },
  autoContrast: true,
  defaultRadius: 'md',
  cursorType: 'pointer',
  respectReducedMotion: true,
  headings: { fontWeight: '650' },
  components: {
    // The text of a notice must be readable: only the box has the color.
    Alert: { styles: { title: { color: 'var(--mantine-color-text)' } } },
    Badge: { defaultProps: { tt: 'none', fw: 600 } },
    Tooltip: { defaultProps: { withArrow: true, openDelay: 250 } },
    Modal: { defaultProps: { centered: true, closeButtonProps: { 'aria-label': 'Close' } } },
    // A <header> would be a second banner of the page.
    ModalHeader: { defaultProps: { component: 'div' } },
    DrawerHeader: { defaultProps: { component: 'div' } },
    // A typed value is sent unchanged. An invalid value is refused at its field instead of being replaced.
    NumberInput: { defaultProps: { clampBehavior: 'none' } },
    PasswordInput: { defaultProps: { visibilityToggleButtonProps: { 'aria-label': 'Show the password' } } },
    Switch: { defaultProps: { withThumbIndicator: false } },
    // A list opens on a click, an arrow key or typing. A dialog gives its first field the focus, and an open list would
    // cover the buttons.
    Autocomplete: { defaultProps: { openOnFocus: false } },
    MultiSelect: { defaultProps: { openOnFocus: false } },
    Select: { defaultProps: { openOnFocus: false } },
    TagsInput: { defaultProps: { openOnFocus: false } },
  },
});

// Darker than teal.9: a filled button below the pointer (Mantine goes lighter there, where white falls below AA), and
// links, which also stand on the gray of a table's row below the pointer.
const DARK_TEAL = '#066649';

export const cssVariables: CSSVariablesResolver = ({ colors }) => ({
  variables: {},
  light: {
    '--mantine-color-body': '#f6f8f8',
    '--mantine-color-anchor': DARK_TEAL,
    '--mantine-color-dimmed': colors.gray[7],
    '--mantine-color-placeholder': colors.gray[7],
    '--mantine-color-teal-light': colors.teal[0],
    '--mantine-color-teal-filled-hover': DARK_TEAL,
    '--mantine-color-error': colors.red[9],
    '--greenroom-surface': '#ffffff',
    '--greenroom-code': colors.gray[0],
  },
  dark: {
    '--mantine-color-dimmed': colors.dark[1],
    '--mantine-color-placeholder': colors.dark[1],
    '--mantine-color-teal-filled': colors.teal[9],
    '--mantine-color-teal-filled-hover': DARK_TEAL,
    '--mantine-color-error': colors.red[4],
    '--greenroom-surface': colors.dark[6],
    '--greenroom-code': colors.dark[6],
  },
});
