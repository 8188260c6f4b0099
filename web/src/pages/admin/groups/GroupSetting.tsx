import { Badge, Button, Text } from '@mantine/core';
import { changeGroupSettings } from '../../../api/actions';
import type { Group, InheritedSetting, Setting } from '../../../api/types';
import { SettingRow } from '../../../components/SettingRow';
import { ThreeWay } from '../../../components/ThreeWay';
import { factsOf, shownValue } from './settingTexts';

interface Props {
  group: Group;
  setting: Setting;
  /** The value that applies if the group has none. Mappings have no inherited value, because they are merged. */
  inherited: InheritedSetting | undefined;
  disabled: boolean;
  /** The source of the effective value of the chosen user. */
  trace: string | undefined;
  known: string[] | undefined;
}

/** One setting of a group: its own value or the inherited one. */
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
            no staged sessions if set
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

/** The source of an inherited value, or the groups whose value has priority over this one. */
function sourceOf(
  { unit }: Setting,
  { value, group, outranked_by }: InheritedSetting,
  has: boolean,
): string | undefined {
  if (!has) return `Inherited: ${shownValue(value, unit)}, ${group ? `from group ${group}` : 'by default'}.`;
  const first = outranked_by.join(', ');
  return first ? `Users who are also in ${first} get the value that is set there.` : undefined;
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
