"""Photos with identities, from folders, records and shards; pairs of them; augmentation."""
