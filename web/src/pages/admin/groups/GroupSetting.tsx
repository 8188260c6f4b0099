import { Badge, Button, Text } from '@mantine/core';
import { changeGroupSettings } from '../../../api/actions';
import type { Group, InheritedSetting, Setting } from '../../../api/types';
import { SettingRow } from '../../../components/SettingRow';
import { ThreeWay } from '../../../components/ThreeWay';
import { factsOf, shownValue } from './settingTexts';

interface Props {
  group: Group;
  setting: Setting;
  /** What holds without a value of the group; mappings have none, they are merged. */
  inherited: InheritedSetting | undefined;
  disabled: boolean;
  /** What holds for the chosen user, and why. */
  trace: string | undefined;
  known: string[] | undefined;
}

/** One setting of a group: its own value, or what it leaves to other groups and the default. */
export function GroupSetting({ group, setting, inherited, disabled, trace, known }: Props) {
  const has = setting.name in group.settings;
  const own = has ? group.settings[setting.name] : null;
  const fallback = inherited ? inherited.value : setting.default;
  return (
    <SettingRow
      setting={setting}
      value={has ? own : fallback}
      facts={factsOf(setting)}
      source={inherited && sourceOf(setting, inherited, has)}
      note={trace}
      known={known}
      badge={
        setting.excludes_staging && (
          <Badge variant="default" size="sm">
            excludes staging
          </Badge>
        )
      }
      save={(value) => changeGroupSettings(group.group_id, { [setting.name]: value })}
      touched="groups"
      disabled={disabled}
      editor={
        setting.kind === 'bool'
          ? (save, underWay) => (
              <ThreeWay
                label={setting.name}
                value={(underWay === undefined ? own : underWay) as boolean | null}
                inherited={fallback === true}
                disabled={disabled}
                onChange={save}
              />
            )
          : undefined
      }
      beside={(reset) => setting.kind !== 'bool' && <Reset name={setting.name} has={has} {...{ disabled, reset }} />}
    />
  );
}

/** Where what is not set here comes from, or for which users what is set here does not count. */
function sourceOf(
  { unit }: Setting,
  { value, group, outranked_by }: InheritedSetting,
  has: boolean,
): string | undefined {
  if (!has) return `Inherited: ${shownValue(value, unit)}, ${group ? `from group ${group}` : 'by default'}.`;
  const first = outranked_by.join(', ');
  return first ? `Does not count for those who are in ${first}, too: what is set there comes first.` : undefined;
}

function Reset({ name, has, disabled, reset }: { name: string; has: boolean; disabled: boolean; reset: () => void }) {
  if (!has)
    return (
      <Text size="xs" c="dimmed" className="nowrap">
        not set here
      </Text>
    );
  return (
    <Button
      size="compact-xs"
      variant="default"
      miw="max-content"
      disabled={disabled}
      onClick={reset}
      aria-label={`Remove ${name}`}
    >
      Remove
    </Button>
  );
}
