"""One sound file of every kind that risf reads, each as small as can be."""

from __future__ import annotations

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file, save_file

from risf_core.datasets.coco import read_coco_dataset
from risf_core.detector.architecture import ARCHITECTURES
from risf_core.detector.runs import RunDescription, write_run
from risf_core.encoder.cache import EmbeddingCache
from risf_core.formats.convert import convert_file
from risf_core.formats.registry import FORMS
from risf_core.splits.prepare import SplitSettings, prepare_splits
from risf_core.vocabulary import ClassVocabulary
from tests.tiny_encoder import TINY, save_tiny

WRITTEN = tuple(form for form in FORMS if form.write is not None)

GT = {
    "info": {},
    "images": [{"id": n, "file_name": f"{n}.jpg", "width": 40, "height": 30} for n in (1, 2, 3)],
    "annotations": [
        {"id": n, "image_id": 1 + n % 3, "category_id": (3, 7)[n % 2], "bbox": [2.0 + n, 3, 10.5, 12], "area": 126.0}
        for n in range(8)
    ],
    "categories": [{"id": 3, "name": "cat"}, {"id": 7, "name": "dog"}],
}  # fmt: skip
ROWS = [
    {"image_id": 1 + n % 3, "category_id": (3, 7)[n % 2], "bbox": [2.0 + n, 3.0, 10.5, 12.0], "score": 0.9 - n / 20}
    for n in range(8)
]
XML = (
    "<annotation><filename>1.jpg</filename><size><width>40</width><height>30</height><depth>3</depth></size><object>"
    "<name>cat</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>12</xmax><ymax>15</ymax></bndbox>"
    "</object></annotation>"
)
CONFIG = {
    "data": {"setting": "base", "short_sides": [64], "long_side": 96},
    "loss": {"gamma": 2.0},
    "solver": {"iterations": 4, "steps": [2], "seed": 1},
}


def write_sound_files(folder: Path) -> None:
    """Fill a folder with sound files of all kinds."""

    def write(name: str, content: object) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            path.write_text(content if isinstance(content, str) else json.dumps(content))

    write("gt.json", GT)
    write("dets.json", ROWS)
    write("vocdets.json", [{**row, "image_id": "1", "category_id": row["category_id"] // 7 + 1} for row in ROWS[::3]])
    write("names.txt", "a\nb\ncat\nd\ne\nf\ndog\n")
    write("names.yaml", "names:\n  0: cat\n  1: dog\n")
    write("held.txt", "2.jpg\n3\n")
    write("c.yaml", yaml.safe_dump(CONFIG))
    write("risf.yaml", "annotations: gt.json\nimages: photos\nnovel: cat\ncache: none\nrescore:\n  alpha: 0.5\n")
    for place in ("photos", "voc/JPEGImages", "yolo/images/train"):
        (folder / place).mkdir(parents=True)
        for number in (1, 2, 3):
            pixels = np.random.default_rng(number).integers(0, 255, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / place / f"{number}.jpg")
    write("voc/Annotations/1.xml", XML)
    write("voc/Annotations/2.xml", XML.replace("1.jpg", "2.jpg").replace("cat", "dog"))
    write("voc/ImageSets/Main/test.txt", "1\n2\n")
    write("yolo/data.yaml", "path: .\ntrain: images/train\nval: images/train\nnc: 2\nnames: [cat, dog]\n")
    for number in (1, 2, 3):
        write(f"yolo/labels/train/{number}.txt", "0 0.5 0.5 0.25 0.5\n1 0.3 0.3 0.1 0.1\n")
    prepare_splits(
        read_coco_dataset(folder / "gt.json"),
        folder / "split",
        settings=SplitSettings(novel="cat", shots=(1,), seeds=(0,), at_least=True, layouts=("risf", "tfa")),
    )
    (folder / "tfa").mkdir()
    for path in (folder / "split").rglob("full_box_*"):
        shutil.copy(path, folder / "tfa" / path.name)
    line = {"slope": 1.0, "intercept": 0.0}
    terms = [{"name": "voice", "weight": 1.0, "centre": 0.0}]
    fusion = {"fused": line, "alone": line, "others": line, "terms": terms, "min_score": 0.05, "max_score": 1.0}
    write("fusion.json", {"format": "risf fusion", "version": 1, "conditions": {"model": "x"}, "fusion": fusion})
    write(
        "dets.json.record.json",
        {
            "inputs": {
                "detections": {"path": "a", "sha256": "0"},
                "fusion": {"path": str(folder / "fusion.json"), "sha256": "0"},
            },
            "fitted": True,
            "settings": {"alpha": 0.5},
        },
    )
    write(
        "model.json",
        {
            "model_cfg": {
                "embed_dim": 8,
                "vision_cfg": {"image_size": 32, "layers": 1, "width": 8, "patch_size": 16},
                "text_cfg": {"context_length": 77, "vocab_size": 100, "width": 8, "layers": 1},
            },
            "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
        },
    )
    weights(folder)
    for form in WRITTEN:
        place = folder / "forms" / form.name
        place.mkdir(parents=True)
        convert_file(folder / "dets.json", place / "d", to=form.name, annotations=folder / "gt.json")
        for suffix, start in ((".json", b"["), (".json", b"{"), (".pkl", b"\x80"), (".pth", b"PK")):
            if (place / "d").is_file() and (place / "d").read_bytes().startswith(start):
                (place / "d").rename(place / f"d{suffix}")
    (folder / "encoder").mkdir()
    small = {**TINY, "text_cfg": {**TINY["text_cfg"], "vocab_size": 100}}
    _, stored = save_tiny(folder / "encoder", "fuzzed", small)
    torch.save(load_file(stored), folder / "encoder/w.pt")
    cache = EmbeddingCache(folder / "cache")
    cache.write([(bytes([n]) * 16, np.ones(3, dtype=np.float32)) for n in range(4)], encoder="e", kind="crop")
    cache.close()


def weights(folder: Path) -> None:
    """A made detector as a run, a pickle and safetensors, small enough to be mutated thousands of times."""
    names = ["backbone.stem.conv1.weight", "roi_heads.box_predictor.cls_score.weight"]
    for stage, count in zip(
        ("backbone.res2", "backbone.res3", "backbone.res4", "roi_heads.res5"),
        ARCHITECTURES["small"].block_counts,
        strict=True,
    ):
        names += [f"{stage}.{block}.conv{layer}.weight" for block in range(count) for layer in (1, 2, 3)]
    state = {name: torch.ones(3, 1) for name in names}
    description = RunDescription(ARCHITECTURES["small"], ClassVocabulary(("cat", "dog"), (3, 7), frozenset({"cat"})))
    write_run(folder / "run", description, more={"config": {"solver": {"seed": 1}}, "inputs": {"coco": "0"}})
    note = {"risf": json.dumps(description.to_json())}
    torch.save({"model": state, **note}, folder / "run/model_final.pth")
    training = {
        "iteration": 2,
        "optimizer": {"state": {}},
        "scaler": {},
        "order": {"place": 1, "waiting": [[], [1]]},
        "best": None,
        "run": "0",
    }
    torch.save({"model": state, "training": training, **note}, folder / "run/model_last.pth")
    (folder / "run/metrics.jsonl").write_text('{"iteration": 1, "loss": 2.5}\n{"iteration": 2, "loss": 2.25}\n')
    (folder / "w.pkl").write_bytes(
        pickle.dumps({"model": {name: value.numpy() for name, value in state.items()}, **note}, protocol=2)
    )
    save_file(state, folder / "w.safetensors", metadata=note)
