"""Webhooks: one small module for each provider (how it signs, what its events mean), one route for all."""
