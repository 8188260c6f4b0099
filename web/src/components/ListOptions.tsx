import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { ActionIcon, Menu } from '@mantine/core';
import { IconAdjustmentsHorizontal, IconCheck, IconDownload } from '@tabler/icons-react';
import { DensityChoice } from './Density';
import type { ExportFormat } from './exportRows';
import styles from './ListMenus.module.css';
import { canHide, type Column } from './tableState';
import { FORMS, showTimes, type TimeForm, useTimeForm } from './times';
import { useOwnPreference } from './useOwnPreference';

interface Props<Row> {
  columns: Column<Row>[];
  /** The columns that are shown if there is space. */
  shown: Column<Row>[];
  /** Shows the columns that `change` returns for the shown ones; null = the default ones. */
  onColumns: (change: (keys: string[]) => string[] | null) => void;
  isExporting: boolean;
  onExport: (format: ExportFormat) => void;
}

const FORM_TITLES: Record<TimeForm, string> = { relative: t`Time since now`, absolute: t`Date and time` };

/** The menu with the columns, the form of times, the height of rows, and the export of a list. */
export function ListOptions<Row>({ columns, shown, onColumns, isExporting, onExport }: Props<Row>) {
  const form = useTimeForm();
  const keep = useOwnPreference();
  const hideable = columns.filter(canHide);
  const keys = shown.map(({ key }) => key);
  const chooseTimes = (times: TimeForm) => {
    showTimes(times);
    keep({ times });
  };
  return (
    <Menu position="bottom-end" closeOnItemClick={false} withInitialFocusPlaceholder={false}>
      <Menu.Target>
        <ActionIcon
          variant="subtle"
          color="gray"
          size="lg"
          aria-label={t`Options of the list`}
          data-hint={t`Columns, times, height of rows, export`}
          loading={isExporting}
        >
          <IconAdjustmentsHorizontal size={18} aria-hidden />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown className={styles.menu ?? ''}>
        {hideable.length > 0 && (
          <>
            <Menu.Label>
              <Trans>Columns</Trans>
            </Menu.Label>
            {hideable.map(({ key, title }) => (
              <Menu.CheckboxItem
                key={key}
                checked={keys.includes(key)}
                checkIcon={<IconCheck size={16} aria-hidden />}
                onChange={(isShown) =>
                  onColumns((before) => (isShown ? [...before, key] : before.filter((each) => each !== key)))
                }
              >
                {title}
              </Menu.CheckboxItem>
            ))}
            <Menu.Item onClick={() => onColumns(() => null)}>
              <Trans>Show the default columns</Trans>
            </Menu.Item>
            <Menu.Divider />
          </>
        )}
        <Menu.Label>
          <Trans>Times</Trans>
        </Menu.Label>
        <Menu.RadioGroup value={form} onChange={(next) => chooseTimes(next as TimeForm)}>
          {FORMS.map((each) => (
            <Menu.RadioItem key={each} value={each} checkIcon={<IconCheck size={16} aria-hidden />}>
              {FORM_TITLES[each]}
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        <Menu.Divider />
        <Menu.Label>
          <Trans>Height of rows</Trans>
        </Menu.Label>
        <DensityChoice />
        <Menu.Divider />
        <Menu.Label>
          <Trans>Export the filtered rows</Trans>
        </Menu.Label>
        {(['csv', 'json'] as const).map((format) => {
          const name = format.toUpperCase();
          return (
            <Menu.Item
              key={format}
              closeMenuOnClick
              leftSection={<IconDownload size={16} aria-hidden />}
              onClick={() => onExport(format)}
            >
              {t`Export as ${name}`}
            </Menu.Item>
          );
        })}
      </Menu.Dropdown>
    </Menu>
  );
}
