import { t } from '@lingui/core/macro';
import { TagsInput, TextInput } from '@mantine/core';
import { useState } from 'react';
import type { JsonObject } from '../../../components/json';
import type { WorkspaceFields } from './fields';
import { labelsOf, labelTexts, tolerationsOf, tolerationTexts } from './nodes';
import { runConfigOf } from './runConfig';

interface ListProps {
  form: WorkspaceFields;
  label: string;
  description: string;
  option: string;
  texts: (value: unknown) => string[];
  parsed: (texts: readonly string[]) => JsonObject | unknown[];
}

/** An option of the run config that is a list of short texts. An invalid text is not added, and its error is shown. */
function ListOption({ form, label, description, option, texts, parsed }: ListProps) {
  const { config, isUsable, set } = runConfigOf(form);
  const [problem, setProblem] = useState('');
  const change = (given: string[]) => {
    try {
      set(option, parsed(given));
      setProblem('');
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <TagsInput
      label={label}
      description={description}
      value={texts(config[option])}
      onChange={change}
      error={problem}
      disabled={!isUsable}
      clearable={false}
    />
  );
}

/** The nodes and the runtime of the containers. They are options of the run config and are also shown there. */
export function NodeFields({ form }: { form: WorkspaceFields }) {
  const { config, isUsable, set } = runConfigOf(form);
  return (
    <>
      <TextInput
        label={t`Runtime Class`}
        description={t`The program that runs and isolates the container, e.g. runsc (gVisor) for stronger isolation. The Agents must offer it (GREENROOM_RUNTIME_CLASSES); empty = the default`}
        value={typeof config.runtime === 'string' ? config.runtime : ''}
        onChange={(event) => set('runtime', event.currentTarget.value)}
        disabled={!isUsable}
      />
      <ListOption
        form={form}
        label={t`Node Labels`}
        description={t`On Kubernetes, sessions run only on nodes with all these labels. Enter name=value, and press Enter after each label`}
        option="node_selector"
        texts={labelTexts}
        parsed={labelsOf}
      />
      <ListOption
        form={form}
        label={t`Tolerated Taints`}
        description={t`On Kubernetes, sessions can also run on nodes with these taints. Enter key, key=value or key=value:NoSchedule`}
        option="tolerations"
        texts={tolerationTexts}
        parsed={tolerationsOf}
      />
    </>
  );
}
