import { t } from '@lingui/core/macro';
import { CopyButton } from '@mantine/core';
import { shortId } from './format';

/** An id, shortened if it is a UUID. Clicking it copies the whole id. */
export function ShortId({ id }: { id: string }) {
  const short = shortId(id);
  return (
    <CopyButton value={id}>
      {({ copied, copy }) => (
        <button
          type="button"
          className="plain-button mantine-focus-auto"
          onClick={copy}
          aria-label={t`Copy ${short}`}
          data-hint={copied ? t`Copied` : t`${id} (copy)`}
        >
          <code className="short-id">{short}</code>
        </button>
      )}
    </CopyButton>
  );
}
