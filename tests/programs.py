"""Programs of the repository that are no package, as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

__all__ = ["program"]

ROOT = Path(__file__).resolve().parents[1]


def program(path: str) -> ModuleType:
    """`path`: from the repository's root."""
    spec = importlib.util.spec_from_file_location(f"program_{Path(path).stem}", ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
