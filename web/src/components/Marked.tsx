import { Code } from '@mantine/core';
import { isSetting, settingTitle } from './titles';

/** A sentence of the server, in which `names` stand between backticks. Settings have their titles. */
export function Marked({ text }: { text: string }) {
  return text
    .split('`')
    .map((part, index) =>
      index % 2 && !isSetting(part) ? (
        <Code key={index}>{part}</Code>
      ) : (
        <span key={index}>{index % 2 ? settingTitle(part) : part}</span>
      ),
    );
}
