"""What lies in the object store: the ledger and all other records that must not be lost."""
