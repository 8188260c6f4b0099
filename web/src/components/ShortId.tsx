import { Code, CopyButton, Tooltip, UnstyledButton, VisuallyHidden } from '@mantine/core';
import { shortId } from './format';

/** The beginning of an id; pressing it copies the whole. */
export function ShortId({ id, full = false }: { id: string; full?: boolean }) {
  return (
    <CopyButton value={id}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? 'Copied' : `${id} (copy)`}>
          <UnstyledButton onClick={copy}>
            <VisuallyHidden>Copy </VisuallyHidden>
            <Code className="nowrap">{full ? id : shortId(id)}</Code>
          </UnstyledButton>
        </Tooltip>
      )}
    </CopyButton>
  );
}
