/** The reason why a sign-on was refused, in the address of the page. */

import { t } from '@lingui/core/macro';

const PARAMETER = 'sign-on';
const UNKNOWN = t`The log-in was refused. Start it again, or ask an administrator.`;

/** The sentence of the refusal in the address; null = there is none. */
export function refusalIn(search: string, sentences: Record<string, string> | undefined): string | null {
  const code = new URLSearchParams(search).get(PARAMETER);
  if (code === null) return null;
  return sentences && Object.hasOwn(sentences, code) ? (sentences[code] ?? UNKNOWN) : UNKNOWN;
}

/** The page to show after a log-in: this page without the refusal. */
export function pageAfterLogIn(pathname: string, search: string): string {
  const parameters = new URLSearchParams(search);
  parameters.delete(PARAMETER);
  const rest = parameters.toString();
  return rest ? `${pathname}?${rest}` : pathname;
}
