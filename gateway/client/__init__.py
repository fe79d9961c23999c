"""Clients of ``kc.v1``: ``kcactors.js`` for browsers, :mod:`gateway.client.realtime` for services and tests.

Both behave as ``tests/fixtures/kc_v1/client.json`` says, step by step.
"""
