import { t } from '@lingui/core/macro';
import { Badge, Button, Code, Select } from '@mantine/core';
import { Marked } from '../Marked';
import { ThreeWay } from '../ThreeWay';
import { type Draft, type Fallback, fallbackText, ownAfter, type SettingItem } from './items';
import { SettingEditor } from './SettingEditor';
import styles from './settings.module.css';

interface Props {
  item: SettingItem;
  draft: Draft;
  fallback: Fallback;
  disabled: boolean;
  problem: string | undefined;
  /** Null removes the own value. */
  onChange: (value: unknown) => void;
  onInvalid: (problem: string | null) => void;
}

/** One setting: its title and description, and its field. */
export function SettingRow(props: Props) {
  const { item, draft, fallback, problem } = props;
  const { setting, source, note } = item;
  const own = ownAfter(item, draft);
  return (
    <div
      className={styles.row}
      data-setting={setting.name}
      data-changed={setting.name in draft || undefined}
      id={setting.name}
    >
      <div>
        <div className={styles.head}>
          <span className={styles.title}>{setting.title}</span>
          <Code className={styles.name}>{setting.name}</Code>
          {setting.excludes_staging && (
            <Badge variant="default" size="sm">
              {t`no staged sessions if set`}
            </Badge>
          )}
        </div>
        <div className={styles.description}>
          <Marked text={setting.description} />
        </div>
      </div>
      <div className={styles.value}>
        <Field {...props} own={own} />
        {setting.kind === 'bool' && problem && <div className={styles.problem}>{problem}</div>}
        {source?.(own !== null) && <div className={styles.description}>{source(own !== null)}</div>}
        {note && (
          <div className={styles.note} role="note">
            <Marked text={note} />
          </div>
        )}
        {fallback === 'Default' && own !== null && <Reset {...props} text={t`Reset to default`} />}
        {fallback === 'Inherit' && own !== null && !isThreeWay(item) && (
          <Reset {...props} text={fallbackText(item, fallback)} />
        )}
      </div>
    </div>
  );
}

/** Whether the field itself has a choice for no own value. Mappings have no inherited value, because they are merged. */
function isThreeWay({ setting: { kind } }: SettingItem): boolean {
  return kind === 'bool' || kind === 'choice';
}

function Reset({ item, disabled, onChange, text }: Props & { text: string }) {
  return (
    <Button
      size="compact-xs"
      variant="default"
      className={styles.reset}
      disabled={disabled}
      onClick={() => onChange(null)}
      aria-label={`${text}: ${item.setting.title}`}
    >
      {text}
    </Button>
  );
}

const NO_VALUE = '';

function Field(props: Props & { own: unknown }) {
  const { item, own, fallback, disabled, problem, onChange, onInvalid } = props;
  const { setting, inherited, known } = item;
  if (fallback === 'Inherit' && setting.kind === 'bool')
    return (
      <ThreeWay
        label={setting.title}
        value={own as boolean | null}
        inherited={inherited === true}
        disabled={disabled}
        onChange={onChange}
      />
    );
  if (fallback === 'Inherit' && setting.kind === 'choice')
    return (
      <Select
        aria-label={setting.title}
        disabled={disabled}
        error={problem}
        allowDeselect={false}
        data={[{ value: NO_VALUE, label: fallbackText(item, fallback) }, ...setting.choices]}
        value={typeof own === 'string' ? own : NO_VALUE}
        onChange={(next) => onChange(next === NO_VALUE ? null : next)}
      />
    );
  return (
    <SettingEditor
      setting={setting}
      value={own === null ? inherited : own}
      known={known}
      disabled={disabled}
      problem={problem}
      onChange={onChange}
      onInvalid={onInvalid}
    />
  );
}
