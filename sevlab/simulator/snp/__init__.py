"""The parties of a SEV-SNP launch, in software: the processor with its reverse map table, the host, guest and owner."""
