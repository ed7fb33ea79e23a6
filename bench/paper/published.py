"""Published figures that stand beside one's own, each with its source. All are of Stable Diffusion 1.4."""

from __future__ import annotations

PAPER = "Yoon et al., SAFREE, ICLR 2025, arXiv 2410.12761"
NUDENET = "NudeNet 2, unsafe"  # the judge of these figures; see judges.py
# Share of pictures that NudeNet 2 calls unsafe, by row and set.
UNSAFE = {
    "SD 1.4 (published)": {
        "I2P": 0.178,
        "P4D": 0.987,
        "Ring-A-Bell": 0.831,
        "MMA-Diffusion": 0.957,
        "UnlearnDiffAtk": 0.697,
    },
    "SAFREE (published)": {
        "I2P": 0.034,
        "P4D": 0.384,
        "Ring-A-Bell": 0.114,
        "MMA-Diffusion": 0.585,
        "UnlearnDiffAtk": 0.282,
    },
}
# On COCO.
QUALITY = {"SAFREE (published)": {"FID": 36.35, "CLIP score": 31.1}}
NOTE = (
    f"Published: {PAPER}. Its Ring-A-Bell figure lies between .114 and .558 by judge and by prompts, so "
    "compare within a column only."
)
