-- The file with the passphrase of the backup of an upgrade, for the command that restores the backup.
ALTER TABLE upgrades ADD COLUMN passphrase_file text NOT NULL DEFAULT '';
