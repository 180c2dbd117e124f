"""Disks of nodes that containerlab has made: Docker bounds none, so ours are laid over the roots of its containers.

All of `test_limits` holds there too (`labctl test --engine containerlab`); this one runs always.
"""

from __future__ import annotations

import pytest

from tests.lab.test_limits import (
    test_who_writes_more_than_its_node_has_room_for_is_told_so_and_others_go_on as test_who_writes_more,
)

__all__ = ["test_who_writes_more"]

pytestmark = pytest.mark.topology("limits", engine="containerlab")
