"""Real servers, real processes, random faults, and an audit at the end."""
