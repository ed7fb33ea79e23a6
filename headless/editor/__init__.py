"""The editor's own workflow format: read as the editor reads it, and changed in place. Standard library alone."""

from .conversion import to_api
from .graph import is_editor_format
from .placing import edited

__all__ = ["edited", "is_editor_format", "to_api"]
