"""The byte structures of SEV, declared: data only, no reading of files, no arithmetic."""
