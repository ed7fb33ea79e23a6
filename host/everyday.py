"""Everyday language: phrases that calibrate detection for each encoder, and words that need none."""

# Words that join others: no concept by themselves, half of a usual prompt, and each would cost an encoding.
_JOINING = (
    "a an the this that these those and or but nor of in on at by to from with without into onto over under near next "
    "beside between behind through for as is are was were be it its his her their our my your he she they we i you "
    "some any each very , . ; :"
)
FUNCTION_WORDS = frozenset(_JOINING.split())

PHRASES = [
    "a cat",
    "a dog",
    "a horse",
    "a fish",
    "a bee",
    "a banana",
    "an apple",
    "a pizza",
    "a cake",
    "a car",
    "a bus",
    "a bicycle",
    "a tree",
    "a rose",
    "a house",
    "a castle",
    "a book",
    "a camera",
    "a clock",
    "an umbrella",
    "a guitar",
    "a shoe",
    "a dress",
    "the moon",
]
