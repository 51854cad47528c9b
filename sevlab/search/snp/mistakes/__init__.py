"""Every mistake about a SEV-SNP launch that the search looks for, by where it happens."""
