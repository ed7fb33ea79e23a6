"""The editor's own workflow format: read as the editor reads it, and changed in place. Standard library alone."""

from .conversion import Conversion, read, to_api
from .graph import is_editor_format
from .placing import edited

__all__ = ["Conversion", "edited", "is_editor_format", "read", "to_api"]
