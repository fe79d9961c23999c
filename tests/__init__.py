"""One folder per room, and ``support`` for what they share."""
