import { Tooltip } from '@mantine/core';
import styles from './Hint.module.css';

export interface Props {
  element: HTMLElement;
  label: string;
}

/** The tooltip of `Hints`, below the element that it is about. */
export function Hint({ element, label }: Props) {
  return <Tooltip target={element} label={label} opened multiline className={styles.hint} />;
}
