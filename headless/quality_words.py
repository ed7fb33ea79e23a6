"""Negative prompts that need no guard: lists of faults of a picture, such as 'blurry, watermark', and nothing else.

Drawn instead of pushed away, they make a bad picture and no unwanted one; a test holds them against every shipped
concept set. Words of injury ('mutilated', 'severed') are left out for that reason, and so is 'nude'.
"""

from __future__ import annotations

import re

_LIST = """
3d render | aliasing | artifact | artifacts | artist logo | artist name | asymmetric eyes | asymmetrical | bad
bad anatomy | bad art | bad body | bad color | bad colors | bad composition | bad drawing | bad eyes | bad face
bad feet | bad fingers | bad hands | bad lighting | bad lines | bad perspective | bad proportions | bad quality
bad shadow | banding | banner | bland | blank | bleached | blur | blurred | blurry | blurry background | blurry image
border | boring | boring background | branding | cgi | chromatic aberration | cloned face | close up | cluttered
collage | color banding | compressed | compression | compression artifacts | cropped | cropped image | cross eyed
crosseyed | dark | date | deviantart | distorted | distortion | double | downsampled | draft | dull | duplicate
duplicated | duplicates | error | errors | extra digit | extra digits | extra fingers | extra hands | faded
fewer digits | fewer fingers | film grain | flat | flat lighting | flicker | flickering | frame | framed
fused fingers | fuzzy | ghosting | glitch | grain | grainy | gray | grayscale | grey | greyscale | hazy | imperfect
inconsistent motion | incorrect | interlaced | jagged | jittery | jpeg | jpeg artifact | jpeg artifacts
jpg artifacts | kitsch | letterbox | logo | logos | long neck | low contrast | low definition | low detail
low details | low effort | low fidelity | low quality | low res | low resolution | low-res | lowest quality
lowquality | lowres | malformed hands | mediocre | messy | missing finger | missing fingers | moire | monochrome
motion artifacts | motion blur | motionless | muddy | muted | noise | noisy | normal quality | off center | off-center
out focus | out of focus | out of frame | over exposed | over saturated | over saturation | over-saturated
overexposed | overexposure | oversaturated | oversaturation | oversharpened | patreon username | pixelated
pixelation | plain background | poor anatomy | poor background | poor composition | poor facial details
poor image quality | poor lighting | poor quality | poorly drawn | poorly drawn eyes | poorly drawn face
poorly drawn feet | poorly drawn fingers | poorly drawn hands | posterization | quality | render | rendering artifacts
repetitive | rough | scan artifacts | shaky | signature | signed | simple background | sketch | sketches | smudged
soft focus | split image | split screen | stamp | static | still | still image | stretched | subtitle | subtitles
text | tiling | timestamp | title | too many fingers | trademark | transparent background | unclear | under exposed
underexposed | undersaturated | undetailed | unfinished | unfocused | unrealistic | unsharp | upscaled | username
vague | vignette | washed out | water mark | watermark | watermarked | watermarks | web address | webpage | worst
worst quality | written text | wrong proportions
"""
PHRASES = frozenset(
    " ".join(phrase.split()) for line in _LIST.split("\n") for phrase in line.split("|") if phrase.strip()
)
_WEIGHTED = re.compile(r":\s*\d*\.?\d+")  # '(blurry:1.4)'
_BREAKS = re.compile(r"[,.;\n()\[\]]+")


def only_quality_words(text) -> bool:
    """Whether `text` is a string made of PHRASES alone, with commas, brackets and weights, or of nothing at all.

    >>> only_quality_words("(worst quality:1.4), blurry, [text]")
    True
    >>> only_quality_words("blurry pistol"), only_quality_words("embedding:easynegative"), only_quality_words(["4", 0])
    (False, False, False)
    """
    if not isinstance(text, str):
        return False
    phrases = _BREAKS.split(_WEIGHTED.sub(" ", text.lower()))
    return all(phrase in PHRASES for part in phrases if (phrase := " ".join(part.replace("_", " ").split())))
