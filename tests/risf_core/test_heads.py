"""Head surgery: every row, bias and box block lands where its class name says."""

from __future__ import annotations

import pytest
import torch

from risf_core.errors import CheckpointError, DataError
from risf_core.heads import BOX_BIAS, BOX_WEIGHT, CLASS_BIAS, CLASS_WEIGHT, drop_head, extend_head
from risf_core.vocabulary import COCO_NOVEL, NOVEL_SETS, VOC_CLASSES

WIDTH = 2048  # the published checkpoints' res5


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def state_of(names: list[str], width: int = WIDTH) -> dict[str, torch.Tensor]:
    """A head in which every number says whose it is: class position + 1, and for boxes also the side."""
    own = torch.arange(1, len(names) + 1, dtype=torch.float32)
    return {
        "backbone.stem.conv1.weight": torch.ones(2),
        CLASS_WEIGHT: torch.cat([own, torch.tensor([1000.0])])[:, None].repeat(1, width),
        CLASS_BIAS: torch.cat([own, torch.tensor([1000.0])]) + 0.5,
        BOX_WEIGHT: torch.stack([row * 10 + side for row in own for side in range(4)])[:, None].repeat(1, width),
        BOX_BIAS: torch.stack([row * 10 + side for row in own for side in range(4)]) + 0.5,
    }


def coco_like_names() -> tuple[list[str], list[str]]:
    """60 base names, and all 80 with the novel ones strewn between them as COCO's ids do."""
    base = [f"base {i}" for i in range(60)]
    everything = list(base)
    for position, name in enumerate(COCO_NOVEL):
        everything.insert(position * 4, name)
    return base, everything


def test_extending_60_to_80_classes_moves_each_base_row_by_name_and_draws_the_novel_ones() -> None:
    base, everything = coco_like_names()
    before = state_of(base)
    after = extend_head(before, old=base, new=everything, generator=seeded())
    assert after[CLASS_WEIGHT].shape == (81, WIDTH)
    assert after[BOX_WEIGHT].shape == (320, WIDTH)
    for there, name in enumerate(everything):
        block = slice(4 * there, 4 * there + 4)
        if name in base:
            own = base.index(name) + 1
            assert (after[CLASS_WEIGHT][there] == own).all()
            assert after[CLASS_BIAS][there] == own + 0.5
            assert after[BOX_WEIGHT][block, 0].tolist() == [own * 10 + side for side in range(4)]
            assert after[BOX_BIAS][block].tolist() == [own * 10 + side + 0.5 for side in range(4)]
        else:
            assert after[CLASS_BIAS][there] == 0
            assert after[BOX_BIAS][block].tolist() == [0.0] * 4
            assert after[CLASS_WEIGHT][there].std().item() == pytest.approx(0.01, rel=0.15)
            assert after[BOX_WEIGHT][block].std().item() == pytest.approx(0.01, rel=0.15)
    assert (after[CLASS_WEIGHT][80] == 1000).all()
    assert after[CLASS_BIAS][80] == 1000.5


@pytest.mark.parametrize("novel_set", ["voc1", "voc2", "voc3"])
def test_in_the_published_order_of_voc_the_base_rows_stay_and_the_novel_rows_follow(novel_set: str) -> None:
    novel = list(NOVEL_SETS[novel_set])
    base = sorted(set(VOC_CLASSES) - set(novel))
    before = state_of(base, width=8)
    after = extend_head(before, old=base, new=base + novel, generator=seeded())
    assert torch.equal(after[CLASS_WEIGHT][:15], before[CLASS_WEIGHT][:15])
    assert torch.equal(after[BOX_WEIGHT][:60], before[BOX_WEIGHT])
    assert after[CLASS_BIAS][15:20].tolist() == [0.0] * 5
    assert (after[CLASS_WEIGHT][20] == 1000).all()


@pytest.mark.parametrize("classes", [20, 5])
def test_a_dropped_head_starts_afresh_with_the_published_spreads(classes: int) -> None:
    before = state_of([f"base {i}" for i in range(60)])
    after = drop_head(before, class_count=classes, generator=seeded())
    assert after[CLASS_WEIGHT].shape == (classes + 1, WIDTH)
    assert after[BOX_WEIGHT].shape == (4 * classes, WIDTH)
    assert after[CLASS_WEIGHT].std().item() == pytest.approx(0.01, rel=0.05)
    assert after[BOX_WEIGHT].std().item() == pytest.approx(0.001, rel=0.05)
    assert after[CLASS_BIAS].tolist() == [0.0] * (classes + 1)
    assert after[BOX_BIAS].tolist() == [0.0] * (4 * classes)


def test_surgery_leaves_its_argument_and_every_other_parameter_alone() -> None:
    base, everything = coco_like_names()
    before = state_of(base)
    copies = {name: tensor.clone() for name, tensor in before.items()}
    extended = extend_head(before, old=base, new=everything, generator=seeded())
    dropped = drop_head(before, class_count=3, generator=seeded())
    assert all(torch.equal(before[name], copies[name]) for name in copies)
    for after in (extended, dropped):
        assert after["backbone.stem.conv1.weight"] is before["backbone.stem.conv1.weight"]


def test_the_same_seed_draws_the_same_head_and_another_seed_another() -> None:
    before = state_of(["cat", "dog"], width=8)
    heads = [
        extend_head(before, old=["cat", "dog"], new=["cat", "dog", "cow"], generator=seeded(seed))[CLASS_WEIGHT]
        for seed in (1, 1, 2)
    ]
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


def test_names_that_do_not_fit_the_head_are_refused_with_both_counts() -> None:
    with pytest.raises(CheckpointError) as caught:
        extend_head(state_of(["cat", "dog"], width=8), old=["cat"], new=["cat", "cow"], generator=seeded())
    assert str(caught.value) == (
        "the checkpoint's head has 2 classes, but 1 class names were given for it; "
        "give the classes it was trained on, in their order"
    )


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(DataError) as caught:
        extend_head(state_of(["cat"], width=8), old=["cat"], new=["cat", "cow", "cow"], generator=seeded())
    assert str(caught.value) == "class 'cow' is in the list twice; keep one"


def test_a_checkpoint_without_a_head_or_with_one_box_for_all_classes_is_refused() -> None:
    with pytest.raises(CheckpointError, match=r"has no roi_heads\.box_predictor\.cls_score\.weight"):
        drop_head({"backbone.stem.conv1.weight": torch.ones(1)}, class_count=2, generator=seeded())
    agnostic = state_of(["cat", "dog"], width=8)
    agnostic[BOX_WEIGHT] = agnostic[BOX_WEIGHT][:4]
    with pytest.raises(CheckpointError, match=r"scores 2 classes but predicts 4 box numbers"):
        drop_head(agnostic, class_count=2, generator=seeded())
