"""The README.md of a split's folder, in words for the person who finds it."""

from __future__ import annotations

from collections.abc import Mapping

from risf_core.datasets.annotated import AnnotatedDataset
from risf_core.errors import counted, listing
from risf_core.splits.manifest import Manifest
from risf_core.splits.split import SeedShots, marks_in_words, number_ranges

README_NAME = "README.md"


def split_readme(manifest: Manifest, seeds: Mapping[int, SeedShots], base: AnnotatedDataset | None) -> str:
    """Markdown that says what the split is, where it came from, and what its files hold."""
    novel = [name for name in manifest.vocabulary.names if name in manifest.vocabulary.novel]
    sections = [
        "# Few-shot split",
        f"{counted(len(manifest.vocabulary), 'class')}, {len(novel)} of them novel ({manifest.novel_set}): "
        f"{', '.join(novel)}.",
        f"Shots {', '.join(map(str, manifest.shots))}; seeds {number_ranges(manifest.seeds)}; "
        f"drawn from {listing([path.name for path in manifest.source_paths])}"
        + (f" without the images of {manifest.held_out.path.name}" if manifest.held_out else "")
        + ".",
        _base(manifest, base),
        "Made by `risf prepare-splits`; `risf check-split` on this folder verifies it against its source.",
        "## Files\n\n" + "\n".join(_files(manifest, base)),
    ]
    if manifest.notes:
        sections.append("## Notes\n\n" + "\n".join(f"- {note}" for note in manifest.notes))
    marks = marks_in_words(seeds.values())
    if marks:
        sections.append("## What departs from TFA's draw\n\n" + "\n".join(f"- {mark}" for mark in marks))
    return "\n\n".join(sections) + "\n"


def _base(manifest: Manifest, base: AnnotatedDataset | None) -> str:
    if base is None:
        return "All classes are novel: there is no base set."
    novel = "without images that hold novel objects" if manifest.drop_images_with_novel else "novel objects unlabelled"
    return f"Base set: {len(base):,} boxes in {len(base.images):,} images, {novel}."


def _files(manifest: Manifest, base: AnnotatedDataset | None) -> list[str]:
    lines = ["- `split.json`: the settings, the source and its SHA-256, the classes in the published order"]
    if "risf" in manifest.layouts:
        lines += [
            "- `shots/seed*.json`: the frozen boxes of a seed (`boxes`, x y width height in pixels) and, by shot count "
            "and class, which of them (`shots`)",
            "- `classes/*.txt`: the classes, one per line, in the published order",
        ]
        if base is not None:
            lines.append("- `base.json`: the images and boxes of base training")
    if "tfa" in manifest.layouts:
        form = "box_*_train.txt" if manifest.kind == "voc" else "full_box_*_trainval.json"
        lines.append(f"- `seed*/{form}`: the same shots as TFA's and DeFRCN's readers want them")
        if any(name.startswith("datasplit/") for name in manifest.files):
            lines.append("- `datasplit/`: the training images without the held-out ones, and the held-out list")
    return lines
