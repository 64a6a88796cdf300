"""How image ids of detections lead to those of the ground truth, and what is said where they do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

from risf_core.choices import ImageIdConvention, OnUnmatched
from risf_core.detections import ImageId
from risf_core.errors import DataError, counted, listing
from risf_core.formats.conventions import look_like
from risf_core.photos import ImageInfo, is_photo_name, loose_stem

_LOOKS: Mapping[ImageIdConvention, str] = {
    "text": "the annotations' ids in another type (text or number)",
    "file-names": "file names",
    "stems": "file names without their ending",
    "positions": "positions from 0",
    "positions-from-1": "positions from 1",
}


def image_ids_by_file_id(images: Mapping[ImageId, ImageInfo], convention: ImageIdConvention) -> dict[ImageId, ImageId]:
    """What a detections file of that convention calls an image -> the image's id in the dataset.

    `stems` also knows a stem of digits as its number (``0001.jpg`` -> 1); positions count in the order of the file.
    """
    if convention == "dataset":
        return {image_id: image_id for image_id in images}
    if convention == "text":
        texts: dict[ImageId, ImageId] = {str(image_id): image_id for image_id in images}
        return texts | {int(i): i for i in images if isinstance(i, str) and i.isdecimal()}
    if convention in ("positions", "positions-from-1"):
        return dict(enumerate(images, start=1 if convention == "positions-from-1" else 0))
    found: dict[ImageId, ImageId] = {}
    for image_id, info in images.items():
        if info.file_name is None:
            continue
        path = PurePosixPath(info.file_name.replace("\\", "/"))
        names: list[ImageId] = [info.file_name, path.name] if convention == "file-names" else [path.stem]
        if convention == "stems" and path.stem.isdecimal():
            names.append(int(path.stem))
        found |= dict.fromkeys(names, image_id)
    return found


def _by_loose_name(
    strangers: Sequence[ImageId], images: Mapping[ImageId, ImageInfo], convention: ImageIdConvention
) -> dict[ImageId, ImageId]:
    """Images whose names differ from a file's only by case, Unicode form or Roboflow's hash, where one alone does."""
    if convention not in ("file-names", "stems"):
        return {}
    images_by_stem: dict[str, set[ImageId]] = {}
    for image_id, info in images.items():
        if info.file_name is not None:
            stem = PurePosixPath(info.file_name.replace("\\", "/")).stem
            images_by_stem.setdefault(loose_stem(stem), set()).add(image_id)
    found = {}
    for name in strangers:
        path = PurePosixPath(str(name).replace("\\", "/")).name
        same = images_by_stem.get(loose_stem(PurePosixPath(path).stem if convention == "file-names" else path), set())
        if len(same) == 1:
            found[name] = next(iter(same))
    return found


def own_image_ids(
    present: Sequence[ImageId],
    images: Mapping[ImageId, ImageInfo],
    *,
    convention: ImageIdConvention = "dataset",
    on_unmatched: OnUnmatched = "error",
    name: str = "detections",
) -> list[ImageId | None]:
    """The dataset's own id for each distinct id of a file; None for one that fits no image.

    Raises DataError that names both sets and the likely cause where an id fits no image, unless `on_unmatched` is
    "drop" or "keep". Both still raise where all ids are plainly of another convention; "keep" also where an id that
    fits no image of a stated convention is the dataset's own id of one.
    """
    known = image_ids_by_file_id(images, convention)
    strangers = [image_id for image_id in present if image_id not in known]
    known = known | _by_loose_name(strangers, images, convention)
    strangers = [image_id for image_id in strangers if image_id not in known]
    cause = _likely_cause(present, strangers, images, convention) if strangers else ""
    if cause or (
        strangers and (on_unmatched == "error" or (on_unmatched == "drop" and len(strangers) == len(present)))
    ):
        raise DataError(_unmatched(strangers, present, images, cause, name, on_unmatched=on_unmatched))
    taken = [image_id for image_id in strangers if image_id in images]
    if taken and on_unmatched == "keep":
        raise DataError(
            f"{name}: image_id {listing([repr(i) for i in taken])} is not among the {convention} of the annotations' "
            "images but is the id of another image; remove these rows, or pass `on_unmatched=drop`"
        )
    return [known.get(image_id) for image_id in present]


def _likely_cause(
    present: Sequence[ImageId],
    strangers: Sequence[ImageId],
    images: Mapping[ImageId, ImageInfo],
    convention: ImageIdConvention,
) -> str:
    """What ids that all fit another convention look like and the option for it, as a clause; else nothing.

    Where most ids fit as they are they are taken for the dataset's own, unless the only stranger is the one by which
    positions from 0 differ from ids from 1, or the other way round.
    """
    mostly_fitting = 2 * len(strangers) < len(present)
    if mostly_fitting and strangers not in ([0], [len(images)]):
        return ""
    fitting: dict[tuple[ImageId, ...], ImageIdConvention] = {}  # the first way to the same images
    for other in _LOOKS if convention == "dataset" else ():
        own = image_ids_by_file_id(images, other)
        loose = [i for i in strangers if i not in own and is_photo_name(str(i)) == (other == "file-names")]
        own |= _by_loose_name(loose, images, other)
        if own.keys() >= set(present):
            fitting.setdefault(tuple(own[image_id] for image_id in present), other)
    return look_like({_LOOKS[other]: f"`image_ids={other}`" for other in fitting.values()})


def _unmatched(
    strangers: Sequence[ImageId],
    present: Sequence[ImageId],
    images: Mapping[ImageId, ImageInfo],
    cause: str,
    name: str,
    *,
    on_unmatched: OnUnmatched,
) -> str:
    message = (
        f"{name}: image_id {listing([repr(i) for i in strangers])} not among the {counted(len(images), 'image')} of "
        f"the annotations ({listing([repr(i) for i in images])})"
    )
    if cause:
        return f"{message}; {cause}{'' if on_unmatched == 'error' else ', or leave these rows out'}"
    fitting = len(present) - len(strangers)
    return (
        f"{message}; {fitting} of the {len(present)} ids fit: pass the annotations the detector ran on, "
        "or decide about such rows with `on_unmatched`"
    )
