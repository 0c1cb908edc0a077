"""Makes `bench` importable, which is part of the repository and not of the installed package.

Not by sys.path: then `nettool` too would be that of the repository, and not the installed one.
"""

import importlib.util
import sys
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[2] / "bench"

if "bench" not in sys.modules:
    _spec = importlib.util.spec_from_file_location(
        "bench", _PACKAGE / "__init__.py", submodule_search_locations=[str(_PACKAGE)]
    )
    assert _spec is not None and _spec.loader is not None
    sys.modules["bench"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["bench"])
