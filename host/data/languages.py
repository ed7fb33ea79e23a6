"""What the guard knows of languages beside English: a file for each in two folders, `languages`."""

from __future__ import annotations

import contextvars
import dataclasses
import functools
import json
from collections.abc import Sequence
from pathlib import Path

from ...safree import SafreeError, plan
from ...safree.languages import ENGLISH, Attached, Profile
from . import concept_sets, kinds, known_words, vocabulary

WORDS, PHRASES = vocabulary.FOLDER / "languages", concept_sets.FOLDER / "languages"
NOTHING_ATTACHED = Attached()
OTHERS = vocabulary.FOLDER / "other_languages.json"
# Whether the prompt that runs is refused where it holds a language that nobody checked; set by the gate of a server.
refuses_unchecked: contextvars.ContextVar[bool] = contextvars.ContextVar("refuses_unchecked", default=False)


@dataclasses.dataclass(frozen=True)
class Language:
    """phrases, prompts: everyday ones. pairs: (English word, this language's). sets: phrases by concept set.

    names: words that name people; names and function words are never taken out. idioms: everyday phrases that look like
        harmful ones. attached: what is written together with a word. trailing: negations that stand behind their word
    """

    code: str
    name: str
    scripts: tuple[str, ...]
    function: frozenset[str]
    negations: frozenset[str]
    names: tuple[str, ...]
    phrases: tuple[str, ...]
    idioms: tuple[str, ...]
    prompts: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    sets: dict[str, tuple[str, ...]]
    attached: Attached
    trailing: tuple[str, ...]

    @functools.cached_property
    def words(self) -> frozenset[str]:
        """All words of this language that the data hold, in lower case."""
        known = (*self.phrases, *self.names, *(phrase for own in self.sets.values() for phrase in own))
        return frozenset(word for phrase in known for word in plan.pieces(phrase)) | self.function

    @functools.cached_property
    def profile(self) -> Profile:
        scripts = frozenset(script.upper() for script in self.scripts)
        return Profile(self.code, self.name, scripts, self.function, self.words)


@functools.cache
def load(folder: Path = WORDS, phrases: Path = PHRASES) -> dict[str, Language]:
    """The languages by code; SafreeError for a damaged file."""
    return {path.stem: _language(path, phrases / path.name) for path in sorted(folder.glob("??.json"))}


def _language(path: Path, phrases: Path) -> Language:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        sets = json.loads(phrases.read_text(encoding="utf-8"))["phrases"] if phrases.exists() else {}
        inflected = [
            stem + ending
            for group in data.get("identity_inflected", ())
            for stem in group["stems"]
            for ending in group["endings"]
        ]
        everyday = [phrase for group in data["everyday"].values() for phrase in group]
        return Language(
            data["language"],
            data["name"],
            tuple(data["scripts"]),
            _lower([*data["function"], *data["numbers"], *data["negations"]]),
            _lower(data["negations"]),
            tuple(dict.fromkeys([*data["identity"], *inflected])),
            tuple(dict.fromkeys([*everyday, *data["numbers"]])),
            tuple(data["everyday"].get("idioms", ())),
            tuple(data["prompts"]),
            tuple(data.get("pairs", {}).items()),
            {name: tuple(own) for name, own in sets.items()},
            Attached(**{side: tuple(parts) for side, parts in data.get("attached", {}).items()}),
            tuple(data.get("negations_behind", ())),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SafreeError(f"language data {path.name} cannot be read: {error!r}. Install the pack again.") from error


def _lower(texts: list[str]) -> frozenset[str]:
    return frozenset(text.lower() for text in texts)


@dataclasses.dataclass(frozen=True)
class EverydayLanguage:
    """What calibrates detection in one language, and what is no concept by itself. Prompts hold English, too."""

    code: str
    phrases: tuple[str, ...]
    prompts: tuple[str, ...]
    joining: frozenset[str]
    negations: frozenset[str]
    compounds: plan.Matcher
    attached: Attached = NOTHING_ATTACHED
    trailing: plan.Matcher | None = None

    def units(self, words: Sequence[str], concepts: plan.Matcher, retained: tuple[str, ...] = ()) -> list[plan.Unit]:
        """The units of lower-case `words`, see plan.units, without what this language attaches to them."""
        compounds = self.compounds_and(retained)

        def is_known(word: str) -> bool:
            return word in concepts.words or word in compounds.words or word in self.joining

        if self.attached != NOTHING_ATTACHED:
            words = [self.attached.stem(word, is_known) for word in words]
        reads_as_one = functools.partial(self._reads_as_one, words, concepts, retained)
        return plan.units(words, self.joining, compounds, concepts, self.negations, self.trailing, reads_as_one)

    def _reads_as_one(
        self, words: Sequence[str], concepts: plan.Matcher, retained: tuple[str, ...], place: tuple[int, ...]
    ) -> bool:
        """Whether the compound at `place` is one in its sentence: 'a naked eye woman' is a naked woman.

        A concept's word at its beginning, as an adjective, may belong to the person right beside it as well.
        """
        if self.code != ENGLISH or len(place) < 2 or words[place[0]] not in concepts.words:
            return True
        if " ".join(words[i] for i in place) in retained:
            return True
        beside = [i for i in (place[0] - 1, place[-1] + 1) if 0 <= i < len(words)]
        return not any(kinds.is_person(words[i]) for i in beside)

    def compounds_and(self, phrases: tuple[str, ...]) -> plan.Matcher:
        """The compounds, and a concept's own `phrases` beside them."""
        return _with_phrases(self.compounds, phrases) if phrases else self.compounds


@functools.lru_cache(maxsize=16)  # thousands of phrases; a concept's are the same for every prompt
def _with_phrases(compounds: plan.Matcher, phrases: tuple[str, ...]) -> plan.Matcher:
    return compounds.with_phrases(phrases)


def everyday(code: str = ENGLISH) -> EverydayLanguage:
    """Everyday language by code: English, or one of `load`."""
    known = vocabulary.load()
    if code == ENGLISH:
        return EverydayLanguage(code, known.phrases, known.prompts, known.joining, plan.NEGATIONS, known.compounds)
    return _of_other(code)


@functools.cache
def _of_other(code: str) -> EverydayLanguage:
    known, own = vocabulary.load(), load()[code]
    several = [phrase for phrase in own.phrases if len(plan.pieces(phrase)) > 1]
    return EverydayLanguage(
        code,
        own.phrases,
        own.prompts,
        known.joining | own.function,
        plan.NEGATIONS | own.negations,
        known.compounds.with_phrases([*several, *own.idioms, *own.names]),
        own.attached,
        plan.Matcher(own.trailing) if own.trailing else None,
    )


@functools.cache
def profiles() -> tuple[Profile, ...]:
    """What tells each language, English first; those last that are known by sight only."""
    function = frozenset(vocabulary.load().joining)
    english = Profile(ENGLISH, "English", frozenset(["LATIN"]), function, known_words.in_phrases())
    others = json.loads(OTHERS.read_text(encoding="utf-8"))["languages"]
    by_sight = [_by_sight(code, other) for code, other in others.items()]
    return (english, *(language.profile for language in load().values()), *by_sight)


def _by_sight(code: str, other: dict[str, str]) -> Profile:
    scripts, function = frozenset([other["script"].upper()]), frozenset(other["function"].split())
    return Profile(code, other["name"], scripts, function, letters=frozenset(other["letters"]))


def name(code: str) -> str:
    """The English name of a language, of an unknown one its script."""
    return next((profile.name for profile in profiles() if profile.code == code), code)
