"""The audit: fourteen questions to the database, what they found, and the mending of what is safe to mend."""
