"""fusion.json: read back as it was written, refused for whatever it was not fitted to."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from risf_core.errors import ConfigError, DataError
from risf_core.files import write_json
from risf_core.rescore.fitted import FittedFusion, Line, Term
from risf_core.rescore.fusion_file import FORMAT, VERSION, check_fusion, conditions_of, read_fusion
from risf_core.rescore.prototypes import Prototypes
from risf_core.rescore.settings import RescoreSettings
from risf_core.vocabulary import ClassVocabulary

FUSION = FittedFusion(Line(0.9, -1.5), Line(1.1, -0.25), Line(), (Term("text", 0.625, -2.5),), 0.05, 1.0)
NAMES = ClassVocabulary.from_names(("cat", "dog"), novel=("dog",))
SETTINGS = RescoreSettings(temperature=100.0)
KEY = {
    "model": "ViT",
    "config": "c" * 64,
    "weights": "a" * 64,
    "precision": "fp32",
    "preprocessing": {"side": 336, "crop": "squash"},
    "cropping": 1,
}
SUPPORT = Prototypes(np.eye(2, dtype=np.float32), np.array([0, 1]), ("p", "q"), np.ones((2, 4)), 2)


def conditions(key: dict = KEY, names: ClassVocabulary = NAMES, settings: RescoreSettings = SETTINGS, shots=None):
    return conditions_of(encoder_key=json.dumps(key), vocabulary=names, settings=settings, prototypes=shots)


@pytest.fixture
def written(tmp_path: Path):
    """Writes a fusion with its conditions and reads it."""

    def write(fusion: FittedFusion = FUSION, **changed) -> object:
        content = {"format": FORMAT, "version": VERSION, "fusion": asdict(fusion)}
        write_json(tmp_path / "fusion.json", {**content, "conditions": conditions(**changed)})
        return read_fusion(tmp_path / "fusion.json")

    return write


def test_a_fusion_is_read_as_it_was_written_and_fits_where_it_was_fitted(written) -> None:
    saved = written()
    assert saved.fusion == FUSION
    check_fusion(saved, conditions())
    check_fusion(saved, conditions({**KEY, "precision": "bf16"}))  # the number format hardly matters


OTHERS = {
    "model": (conditions({**KEY, "model": "RN50"}), "another model: ViT there, RN50 here"),
    "weights": (
        conditions({**KEY, "weights": "b" * 64}), "another weights: aaaaaaaaaaaa... there, bbbbbbbbbbbb... here",
    ),
    "crop rule": (
        conditions({**KEY, "preprocessing": {"side": 336, "crop": "pad"}}),
        "another crop rule: squash there, pad here; pass `crop` as it was",
    ),
    "preprocessing": (
        conditions({**KEY, "preprocessing": {"side": 224, "crop": "squash"}}),
        "another preprocessing: side 336 there, 224 here",
    ),
    "fewer classes": (conditions(names=ClassVocabulary.from_names(("cat",))), "2 classes, this run has 1"),
    "classes": (
        conditions(names=ClassVocabulary.from_names(("cat", "cow"))), 'other classes: "dog" there, "cow" here',
    ),
    "category ids": (
        conditions(names=ClassVocabulary.from_names(("cat", "dog"), first_id=0)), "other category ids: 1 there, 0 here",
    ),
    "template": (
        conditions(settings=replace(SETTINGS, templates=("a drawing of {}",))),
        'other prompts: ["a photo of cat"] there, ["a drawing of cat"] here',
    ),
    "alias": (
        conditions(settings=replace(SETTINGS, aliases={"cat": "kitten"})),
        'other prompts: ["a photo of cat"] there, ["a photo of kitten"] here',
    ),
    "background": (conditions(settings=replace(SETTINGS, background=None)), "3 prompts, this run has 2"),
    "temperature": (
        conditions(settings=replace(SETTINGS, temperature=50.0)), "another temperature: 100.0 there, 50.0 here",
    ),
    "score range": (
        conditions(settings=replace(SETTINGS, min_score=0.1)),
        "another score range: [0.05, 1.0] there, [0.1, 1.0] here; pass `min_score` and `max_score` as they were",
    ),
    "relabelling": (
        conditions(settings=replace(SETTINGS, relabel=2)),
        "another relabelling: 0 there, 2 here; pass `relabel` as it was",
    ),
    "classes re-scored": (
        conditions(settings=replace(SETTINGS, rescore_classes="novel")), "2 re-scored classes, this run has 1",
    ),
    "evidence": (
        conditions(settings=replace(SETTINGS, evidence="both"), shots=SUPPORT),
        "another evidence: text there, both here",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_fusion_was_not_fitted_to_is_refused_in_one_line_that_names_it(name: str, written) -> None:
    others, message = OTHERS[name]
    with pytest.raises(ConfigError) as refused:
        check_fusion(written(), others)
    line = str(refused.value)
    assert f"fusion.json: was fitted with {message}" in line
    assert line.endswith("or run risf tune again")
    assert "\n" not in line


def test_other_shots_are_refused(written) -> None:
    both = replace(SETTINGS, evidence="both")
    saved = written(settings=both, shots=SUPPORT)
    check_fusion(saved, conditions(settings=both, shots=SUPPORT))
    with pytest.raises(ConfigError) as refused:
        check_fusion(saved, conditions(settings=both, shots=replace(SUPPORT, photos=("p", "r"))))
    assert "was fitted with another support:" in str(refused.value)


def test_novel_classes_matter_only_to_a_fusion_that_asks_for_them(written) -> None:
    here = conditions(names=ClassVocabulary.from_names(("cat", "dog")))
    check_fusion(written(), here)
    with pytest.raises(ConfigError) as refused:
        check_fusion(written(replace(FUSION, terms=(*FUSION.terms, Term("novel", 1.0, 0.0)))), here)
    assert "1 novel classes, this run has 0; pass `novel` as it was" in str(refused.value)


def test_a_fusion_that_was_better_without_other_classes_needs_no_option(written) -> None:
    relabelled = replace(SETTINGS, relabel=2)
    check_fusion(written(settings=relabelled), conditions())
    check_fusion(written(settings=relabelled), conditions(settings=relabelled))


BROKEN = {
    "a list": ([], "is not a fusion file; name one that `risf tune` wrote"),
    "detections": ({"images": []}, "is not a fusion file; name one that `risf tune` wrote"),
    "a version to come": ({"format": FORMAT, "version": 9}, "has version 9, this risf reads 1; run risf tune again"),
    "nothing in it": (
        {"format": FORMAT, "version": 1}, "is damaged ($: object missing required field fusion); run risf tune again",
    ),
    "an unknown term": (
        {"format": FORMAT, "version": 1, "conditions": {},
         "fusion": asdict(replace(FUSION, terms=(Term("luck", 1.0, 0.0),)))},
        "has a term 'luck', which this risf does not know; run risf tune again",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_is_no_fusion_is_one_line(name: str, tmp_path: Path) -> None:
    content, message = BROKEN[name]
    path = tmp_path / "fusion.json"
    write_json(path, content)
    with pytest.raises(DataError) as refused:
        read_fusion(path)
    assert str(refused.value) == f"{path}: {message}"
