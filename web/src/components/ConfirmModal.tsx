import { t } from '@lingui/core/macro';
import { Trans } from '@lingui/react/macro';
import { Alert, Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';
import { useState } from 'react';
import { messageOf, retryTemporary } from '../api/client';
import type { DialogProps } from './Confirm';
import { CoveredContext } from './covered';
import styles from './Dialog.module.css';
import { useOpenedAfterMount } from './lateOpen';
import { WhyRefused } from '../why/WhyRefused';

/** The dialog of a confirmation. A refusal is shown in the dialog with its reason. */
export function ConfirmModal(props: DialogProps) {
  const { opened, onClose, title, children, action, onConfirm, touched = [], color = 'red' } = props;
  const queries = useQueryClient();
  const [isCovered, setCovered] = useState(false);
  const run = useMutation({
    mutationFn: onConfirm,
    retry: retryTemporary,
    onSuccess: onClose,
    onSettled: () => Promise.all(touched.map((key) => queries.invalidateQueries({ queryKey: [key] }))),
  });
  const close = () => {
    run.reset();
    onClose();
  };
  return (
    <Modal
      opened={useOpenedAfterMount(opened)}
      onClose={close}
      closeOnEscape={!isCovered}
      title={
        <Text component="span" className={styles.title}>
          {title}
        </Text>
      }
    >
      <Stack>
        <Text component="div" size="sm">
          {children}
        </Text>
        {run.isError && (
          <Alert color="red" variant="light" role="alert" title={t`Not done`}>
            {messageOf(run.error)}{' '}
            <CoveredContext value={setCovered}>
              <WhyRefused error={run.error} />
            </CoveredContext>
          </Alert>
        )}
        <Group justify="flex-end">
          <Button variant="default" onClick={close} data-autofocus>
            <Trans>Cancel</Trans>
          </Button>
          <Button color={color} loading={run.isPending} onClick={() => run.mutate()}>
            {action}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
