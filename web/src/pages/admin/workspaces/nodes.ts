/** Labels and taints of Kubernetes nodes as texts: `disk=fast`, and `gpu=true:NoSchedule` as in `kubectl taint`. */

import { t } from '@lingui/core/macro';

export interface Toleration {
  key?: string;
  operator?: string;
  value?: string;
  effect?: string;
}

/** Tolerates every taint. */
const ANY = '*';
const EFFECTS = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

/** The labels as texts; an empty list if `selector` is not an object. */
export function labelTexts(selector: unknown): string[] {
  const isObject = typeof selector === 'object' && selector !== null && !Array.isArray(selector);
  return isObject ? Object.entries(selector).map(([name, value]) => `${name}=${String(value)}`) : [];
}

/** The labels of texts. Throws an error for the user if a text is not a label. */
export function labelsOf(texts: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name, value] = divided(text, '=');
      if (!name || value === undefined) throw new Error(t`${text} is not a label. Enter name=value, e.g. disk=fast.`);
      return [name, value];
    }),
  );
}

/** Tolerations as texts; an empty list if `tolerations` is not a list. */
export function tolerationTexts(tolerations: unknown): string[] {
  return Array.isArray(tolerations) ? (tolerations as Toleration[]).map(textOf) : [];
}

function textOf({ key, operator, value, effect }: Toleration): string {
  const isExists = operator === 'Exists';
  const taint = isExists ? (key ?? ANY) : `${key ?? ''}=${value ?? ''}`;
  return effect ? `${taint}:${effect}` : taint;
}

/** The tolerations of texts. Throws an error for the user if a text is not a taint. */
export function tolerationsOf(texts: readonly string[]): Toleration[] {
  return texts.map((text) => {
    const [taint, effect] = divided(text, ':');
    const [key, value] = divided(taint, '=');
    if (!key || (effect !== undefined && !EFFECTS.includes(effect))) {
      throw new Error(
        t`${text} is not a taint. Enter key, key=value or key=value:NoSchedule (or ${{ any: ANY }} for all).`,
      );
    }
    return {
      ...(key === ANY ? {} : { key }),
      ...(value === undefined ? { operator: 'Exists' } : { operator: 'Equal', value }),
      ...(effect === undefined ? {} : { effect }),
    };
  });
}

/** The parts before and after the first separator. Without a separator, the second part is undefined. */
function divided(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator);
  return at < 0 ? [text.trim(), undefined] : [text.slice(0, at).trim(), text.slice(at + 1).trim()];
}
