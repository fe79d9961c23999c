"""Parked messages: what could not be done, kept with its bytes until a person deals with it."""
