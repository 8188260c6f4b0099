import { Textarea, type TextareaProps } from '@mantine/core';

/** A field for a JSON object (see json.ts), in a monospaced font. Its height follows its text. */
export function JsonField({ placeholder = '{}', minRows = 2, ...props }: TextareaProps) {
  return (
    <Textarea
      autosize
      minRows={minRows}
      maxRows={18}
      placeholder={placeholder}
      spellCheck={false}
      styles={{
        input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: 'var(--mantine-font-size-xs)' },
      }}
      {...props}
    />
  );
}
