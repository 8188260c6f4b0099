import { t } from '@lingui/core/macro';
import { Drawer, type DrawerProps, Modal, type ModalProps, Text } from '@mantine/core';
import { type ReactNode, use, useEffect, useState } from 'react';
import { CoveredContext } from './covered';
import styles from './Dialog.module.css';

interface Props extends Pick<ModalProps, 'size' | 'closeOnClickOutside'> {
  title: ReactNode;
  onClose: () => void;
  children: ReactNode;
}

/** A dialog that exists only while it is open. The first field gets the focus, and the opener gets it back afterwards. */
export function Dialog({ title, size = 'md', closeOnClickOutside = true, onClose, children }: Props) {
  useReturnFocus();
  const [isCovered, setCovered] = useState(false);
  return (
    <Modal
      opened
      onClose={onClose}
      size={size}
      closeOnClickOutside={closeOnClickOutside}
      closeOnEscape={!isCovered}
      title={<DialogTitle>{title}</DialogTitle>}
    >
      <CoveredContext value={setCovered}>
        <div ref={markFirstField}>{children}</div>
      </CoveredContext>
    </Modal>
  );
}

interface SideSheetProps extends Omit<Props, 'closeOnClickOutside' | 'size'> {
  size?: DrawerProps['size'];
}

/** Details at the right edge, which exist only while they are open. */
export function SideSheet({ title, size = 'lg', onClose, children }: SideSheetProps) {
  useReturnFocus();
  const cover = use(CoveredContext);
  useEffect(() => {
    cover(true);
    return () => void setTimeout(() => cover(false)); // the dialog gets the same press of Escape
  }, [cover]);
  return (
    <Drawer
      opened
      onClose={onClose}
      position="right"
      size={size}
      title={<DialogTitle>{title}</DialogTitle>}
      closeButtonProps={{ 'aria-label': t`Close` }}
    >
      {children}
    </Drawer>
  );
}

function DialogTitle({ children }: { children: ReactNode }) {
  return (
    <Text component="span" className={styles.title}>
      {children}
    </Text>
  );
}

/** Returns the focus to the element that had it before the component was mounted. */
export function useReturnFocus(): void {
  const [opener] = useState(() => document.activeElement);
  useEffect(
    () => () => {
      // At this time, the dialog and its focus trap are still in the document.
      setTimeout(() => {
        if (opener instanceof HTMLElement && document.activeElement === document.body)
          opener.focus({ preventScroll: true });
      });
    },
    [opener],
  );
}

/** Mantine gives the focus to the marked element; without a mark the button that closes the dialog has it. */
function markFirstField(content: HTMLElement | null): void {
  if (!content || content.querySelector('[data-autofocus]')) return;
  content
    .querySelector('input:not([type=hidden]):not(:disabled), textarea:not(:disabled)')
    ?.setAttribute('data-autofocus', '');
}
