"""What tests stand on: real servers, faults, groups, and the one way to wait."""
