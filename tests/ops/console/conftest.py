"""Fixtures of the manhole's tests.

conch imports the reactor, which must not be before pytest-twisted has installed the one that --reactor names.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.ops.console.manholes import Manhole


@pytest.fixture
def manhole(tmp_path: Path) -> Manhole:
    """A node with a manhole that alice may enter."""
    from tests.ops.console.manholes import Manhole

    return Manhole(tmp_path)
