"""The group commit: what queued while the last transaction was on its way goes into the next one."""
