"""Count what goes through the text encoders of a CLIP, and let them meet words anew."""

from __future__ import annotations

import collections
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from dev import inprocess


class Calls:
    """Counts rows, calls and tokens (padding included) of each text encoder of a CLIP."""

    def __init__(self, clip):
        from comfy.sd1_clip import SDClipModel

        self._seen: collections.Counter = collections.Counter()
        for name, model in clip.cond_stage_model.named_children():
            if isinstance(model, SDClipModel):
                model.register_forward_pre_hook(partial(self._note, name.removeprefix("clip_")))

    def _note(self, key: str, _model, inputs: tuple) -> None:
        tokens = inputs[0]
        self._seen.update({(key, 0): len(tokens), (key, 1): 1, (key, 2): sum(map(len, tokens))})

    @contextlib.contextmanager
    def counted(self) -> Iterator[dict[str, tuple[int, int, int]]]:
        """Yields a dict that holds, at the end, (rows, calls, tokens) by encoder."""
        before, out = self._seen.copy(), {}
        yield out
        keys = dict.fromkeys(key for key, _ in self._seen)
        found = {key: tuple(self._seen[key, n] - before[key, n] for n in range(3)) for key in keys}
        out.update({key: counts for key, counts in found.items() if counts[1]})


def stores(host, clip) -> list[tuple]:
    """(encoder, its kept embeddings) for each text encoder of a CLIP."""
    return [(encoder, host.text.embeddings.embeddings_of(encoder)) for encoder in host.text.encoders.encoders(clip)]


def forget_words(host, clip) -> None:
    """As if no word had ever been encoded; calibration and concepts stay."""
    for _, store in stores(host, clip):
        store._kept.clear()


@contextlib.contextmanager
def own_calibrations(copied: bool = False) -> Iterator[None]:
    """Inside, calibrations are kept in a folder that goes afterwards, so that none of the user's changes.

    copied: begin with those that are there
    """
    import folder_paths

    kind = inprocess.load_pack().host.folders.CALIBRATION
    before = folder_paths.folder_names_and_paths[kind]
    with tempfile.TemporaryDirectory() as folder:
        if copied:
            for path in folder_paths.get_filename_list(kind):
                shutil.copy(folder_paths.get_full_path_or_raise(kind, path), Path(folder) / Path(path).name)
        folder_paths.folder_names_and_paths[kind] = ([folder], before[1])
        try:
            yield
        finally:
            folder_paths.folder_names_and_paths[kind] = before
