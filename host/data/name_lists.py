"""Lists of names, one a line: shipped templates in concept_sets/names, the user's own in models/safree_names."""

from __future__ import annotations

from pathlib import Path

from ...safree import SafreeError
from .. import folders
from .concept_sets import FOLDER

TEMPLATES = FOLDER / "names"
MOST = 10_000  # names of a list
LONGEST = 100  # letters of a name
MOST_BYTES = 4 << 20
COMMENT = "#"


def options() -> list[str]:
    """What ConceptSubspace lists: 'public_figures' for a template, 'artists.txt' for a file of the user's."""
    return [*sorted(path.stem for path in TEMPLATES.glob("*.txt")), *sorted(folders.names(folders.NAMES))]


def find(option: str) -> Path | None:
    """The file behind one of `options`; None where it is none of them."""
    if option in folders.names(folders.NAMES):
        return folders.to_load(option, folders.NAMES)
    template = {path.stem: path for path in TEMPLATES.glob("*.txt")}
    return template.get(option)


def load(path: Path) -> tuple[str, ...]:
    """The names in a file, without those that are there twice; SafreeError names the file, the line and its fault."""

    def wrong(problem: str) -> SafreeError:
        return SafreeError(f"list of names {path.name}: {problem}. Write one name a line, as UTF-8 text.")

    try:
        if path.stat().st_size > MOST_BYTES:
            raise wrong(f"the file has more than {MOST_BYTES >> 20} MB")
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise wrong(f"it cannot be read ({error})") from error
    found = {}
    for number, line in enumerate(lines, 1):
        name = " ".join(line.split())
        if not name or name.startswith(COMMENT):
            continue
        if len(name) > LONGEST:
            raise wrong(f"line {number} has {len(name)} letters, more than {LONGEST}")
        found[name] = None
    return check(found, wrong)


def check(names, wrong=SafreeError) -> tuple[str, ...]:
    """`names` as a list may hold them; an error made by `wrong` for none, too many, or one without a letter."""
    if not names:
        raise wrong("there are no names")
    if len(names) > MOST:
        raise wrong(f"there are {len(names)} names, more than {MOST}; split them into several lists")
    if empty := next((name for name in names if not any(char.isalnum() for char in name)), None):
        raise wrong(f"{empty!r} holds no letter")
    return tuple(names)
