"""Pages of the dashboard that know payments, nodes and parked messages."""
