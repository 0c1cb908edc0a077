"""Fixtures of the manhole's tests."""

from pathlib import Path

import pytest

from tests.ops.console.manholes import Manhole


@pytest.fixture
def manhole(tmp_path: Path) -> Manhole:
    """A node with a manhole that alice may enter."""
    return Manhole(tmp_path)
