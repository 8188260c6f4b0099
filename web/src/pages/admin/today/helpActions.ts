/** The requests behind the buttons of the list "Needs attention". None of them needs a confirmation: each can be undone. */

import { t } from '@lingui/core/macro';
import { changeAgent, changeImage, changeManager, refreshImage, replayWebhook } from '../../../api/actions';
import type { Attention } from '../../../api/types';

interface HelpAction {
  /** The permission that the request needs. */
  needs: string;
  run: () => Promise<unknown>;
  /** The sentence after the request, if its effect is not visible at once. */
  done?: string;
  /** The title of a refusal. */
  refused: string;
}

/** The request that helps; null = the button opens a page. */
export function actionOf({ operation, object: { kind, id } }: Attention['help']): HelpAction | null {
  if (operation === 'pull')
    return {
      needs: 'images_modify',
      run: () => refreshImage(id),
      done: t`The Agents pull the image again.`,
      refused: t`The image was not pulled again`,
    };
  if (operation === 'deliver')
    return {
      needs: 'webhooks_modify',
      run: () => replayWebhook(id),
      done: t`The messages are sent again now.`,
      refused: t`The messages were not sent again`,
    };
  if (operation !== 'enable') return null;
  const refused = t`It was not enabled`;
  const enabled = { enabled: true };
  if (kind === 'agent') return { needs: 'agents_modify', run: () => changeAgent(id, enabled), refused };
  if (kind === 'manager') return { needs: 'managers_modify', run: () => changeManager(id, enabled), refused };
  return kind === 'image' ? { needs: 'images_modify', run: () => changeImage(id, enabled), refused } : null;
}
