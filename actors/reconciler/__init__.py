"""The reconciler: it looks for what was promised and never done, and brings it again by the ordinary way."""
