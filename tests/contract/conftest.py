"""The node that these tests look at from outside."""

from tests.node.conftest import house

__all__ = ["house"]
