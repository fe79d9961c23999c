"""What the nodes know of each other."""
