"""JSON for people, in few bytes: what is published is under a limit (tests/repository/test_install.py)."""

from __future__ import annotations

import json

LINE = 120  # characters


def readable(data, indent: str = "") -> str:
    """JSON with a line for each thing that fits in one; of plain values as many in a line as fit.

    >>> print(readable({"pos": [60, 120], "text": "a" * 90, "note": ""}))
    {
     "pos": [60, 120],
     "text": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
     "note": ""
    }
    """
    line = json.dumps(data, ensure_ascii=False)
    if not isinstance(data, (dict, list)) or len(indent) + len(line) <= LINE:
        return line
    inside = indent + " "
    if isinstance(data, list) and not any(isinstance(value, (dict, list)) for value in data):
        return f"[\n{_filled([json.dumps(value, ensure_ascii=False) for value in data], inside)}\n{indent}]"
    if isinstance(data, list):
        entries, (start, end) = [readable(value, inside) for value in data], "[]"
    else:
        entries, (start, end) = [f"{json.dumps(key)}: {readable(value, inside)}" for key, value in data.items()], "{}"
    return f"{start}\n" + ",\n".join(inside + entry for entry in entries) + f"\n{indent}{end}"


def _filled(values: list[str], indent: str) -> str:
    lines = [indent + values[0]]
    for value in values[1:]:
        if len(lines[-1]) + len(value) + 3 <= LINE:
            lines[-1] += f", {value}"
        else:
            lines[-1] += ","
            lines.append(indent + value)
    return "\n".join(lines)
