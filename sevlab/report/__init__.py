"""Attestation reports of SEV-SNP: read from a file, shown, and verified up to AMD's root."""
