"""Our own readers of the business events: the echo that proves publication, and the plan of sessions."""
