import { t } from '@lingui/core/macro';
import { Kbd, Table } from '@mantine/core';
import { Dialog } from './Dialog';
import classes from './KeysHelp.module.css';
import { TABLE_KEYS } from './tableKeys';

/** The keys of a list. */
export function KeysHelp({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title={t`Keys`} onClose={onClose}>
      <Table variant="vertical" layout="auto" withRowBorders={false} aria-label={t`Keys`}>
        <Table.Tbody>
          {TABLE_KEYS.map(([keys, meaning]) => (
            <Table.Tr key={meaning}>
              <Table.Th scope="row">
                {keys.map((key) => (
                  <Kbd key={key} className={classes.key}>
                    {key}
                  </Kbd>
                ))}
              </Table.Th>
              <Table.Td>{meaning}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Dialog>
  );
}
