"""Which class each of a detector's outputs is, and the category id it is written under."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from risf_core.choices import Group, GroupChoice
from risf_core.errors import CheckpointError, ConfigError, DataError, counted, did_you_mean, listing
from risf_core.vocabulary import ClassVocabulary


def output_vocabulary(
    *,
    class_count: int,
    weights: Path,
    own: ClassVocabulary | None,
    given: ClassVocabulary | None,
    group: GroupChoice = "auto",
) -> ClassVocabulary:
    """The vocabulary of a detector's outputs, label by label.

    Args:
        class_count: how many classes the detector has.
        weights: its file, for messages.
        own: the classes that its run folder states; their names decide, the ids are taken from `given` by name.
        given: the classes of an annotations file or a class list, novel ones marked. Without `own` they are taken to be
            the detector's own: all of them, or the base or novel ones, by `group` or by their number.

    Raises CheckpointError where neither names the classes or their numbers differ.
    """
    if own is not None:
        if len(own) != class_count:
            raise CheckpointError(
                f"{weights}: has {counted(class_count, 'class')}, but its run.json names {len(own)}; "
                "was one of them replaced?"
            )
        return own if given is None else _renumbered(own, given)
    if given is None:
        raise ConfigError(
            f"{weights} does not state what its {class_count} classes are; "
            "pass `annotations` or `classes` with the classes it was trained on"
        )
    return _of_count(published_order(given), class_count, weights, group)


def published_order(vocabulary: ClassVocabulary) -> ClassVocabulary:
    """The order in which published checkpoints count classes.

    Pascal VOC's are the 15 base classes alphabetically, then the 5 novel ones; all others stay as they are (COCO's are
    in ascending category id, as annotations give them).
    """
    return vocabulary.base_first() if vocabulary.is_pascal_voc and vocabulary.novel else vocabulary


def _renumbered(own: ClassVocabulary, given: ClassVocabulary) -> ClassVocabulary:
    id_of = dict(zip(given.names, given.category_ids, strict=True))
    unknown = [name for name in own.names if name not in id_of]
    if unknown:
        raise DataError(
            f"the annotations (or `classes`) lack {len(unknown)} of the {len(own)} classes that the detector finds: "
            f"{listing([repr(name) for name in unknown])}{did_you_mean(unknown[0], given.names)}; "
            "rename them there, or pass `annotations=none` to write the ids of its training data"
        )
    return ClassVocabulary(own.names, tuple(id_of[name] for name in own.names), own.novel)


def _of_count(vocabulary: ClassVocabulary, class_count: int, weights: Path, group: GroupChoice) -> ClassVocabulary:
    groups: Sequence[Group] = ("all", "base", "novel") if vocabulary.novel else ("all",)
    sizes: dict[Group, int] = {each: len(vocabulary.labels(each)) for each in groups}
    if group != "auto":
        if group not in sizes:
            raise ConfigError(f"`group={group}` needs `novel`, the names of the novel classes")
        fitting = [group] if sizes[group] == class_count else []
    else:
        fitting = [each for each in groups if sizes[each] == class_count]
    if len(fitting) == 1:
        return vocabulary.restrict(fitting[0])
    if fitting:
        raise ConfigError(
            f"{weights} has {counted(class_count, 'class')}, and there are as many {' as '.join(fitting)} ones; "
            "pass the one it was trained on: `group=base` or `group=novel`"
        )
    shown = ", ".join(f"{count} {each}" for each, count in sizes.items() if group in ("auto", each))
    advice = "" if vocabulary.novel else "; if it was trained on some of them, pass the novel ones with `novel`"
    raise CheckpointError(f"{weights}: has {counted(class_count, 'class')}, but the classes given are {shown}{advice}")
