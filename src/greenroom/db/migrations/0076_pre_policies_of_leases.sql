-- A lease may choose what its session reaches; leases with the same lists share a policy, which is deleted when none of them needs it.
ALTER TABLE filter_policies ADD COLUMN of_leases boolean NOT NULL DEFAULT false;
