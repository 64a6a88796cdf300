"""`risf encoders`: the table and the JSON of what open_clip offers."""

from __future__ import annotations

import json

import open_clip
import pytest


@pytest.fixture(autouse=True)
def empty_caches(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))


def test_every_usable_tag_is_listed_once_with_what_it_needs(risf) -> None:
    done = risf("encoders", "--json")
    assert done.exit_code == 0, done.output
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert (
        sum(row["option"] == "clip" for row in rows.values()) == len(open_clip.list_pretrained()) - 27
    )  # weights that are another name's, test_tags counts them
    siglip = rows["ViT-B-16-SigLIP2-384:webli"]
    assert (siglip["side"], siglip["context"], siglip["needs"]) == (384, 64, ["risf[transformers]"])
    paper = rows["ViT-L-14-336-quickgelu:openai"]
    assert (paper["side"], paper["context"], paper["width"], paper["needs"]) == (336, 77, 768, [])
    assert paper["weights"] is None


def test_weights_and_licence_of_this_machine_are_shown(risf, tmp_path, tiny) -> None:
    snapshot = tmp_path / "hub" / "models--timm--vit_large_patch14_clip_336.openai" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(tiny[1].read_bytes())
    (snapshot / "README.md").write_text("---\nlicense: mit\ntags: [clip]\n---\n# CLIP\n")
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("1")
    rows = json.loads(risf("encoders", "--local", "--json").stdout)
    assert [row["name"] for row in rows] == ["ViT-L-14-336-quickgelu:openai"]
    assert rows[0]["licence"] == "mit"
    assert rows[0]["weights"].endswith("open_clip_model.safetensors")
    table = risf("encoders", "l-14-336-quickgelu")
    assert "ViT-L-14-336-quickgelu:openai" in table.stdout
    assert "mit" in table.stdout
    assert "PE-Core-L-14-336:meta" in table.stderr  # a recommendation


def test_a_name_that_nothing_has_is_refused_with_the_nearest(risf) -> None:
    done = risf("encoders", "ViT-L-14-337")
    assert done.exit_code == 1
    assert "'ViT-L-14-337'" in done.stderr
    assert "did you mean 'ViT-L-14'" in done.stderr


def test_image_only_encoders_are_listed_with_what_of_them_is_here(risf, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    rows = {row["name"]: row for row in json.loads(risf("encoders", "--json").stdout)}
    dino = rows["timm:vit_small_patch14_dinov2.lvd142m"]
    assert (dino["option"], dino["side"], dino["context"], dino["licence"]) == (
        "support_encoder",
        518,
        None,
        "apache-2.0",
    )
    assert dino["weights"] is None
    assert rows["torchvision:resnet101"]["weights"] is None
    assert "none here" in next(line for line in risf("doctor").stdout.splitlines() if "support encoders" in line)

    snapshot = tmp_path / "hub" / "models--timm--vit_small_patch14_dinov2.lvd142m" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(b"")
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("1")
    kept = tmp_path / "torch" / "hub" / "checkpoints" / "resnet101-63fe2227.pth"  # torchvision's own name
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"")
    rows = json.loads(risf("encoders", "--json", "--local").stdout)
    assert [row["name"] for row in rows] == ["timm:vit_small_patch14_dinov2.lvd142m", "torchvision:resnet101"]
    line = next(line for line in risf("doctor").stdout.splitlines() if "support encoders" in line)
    assert line.split()[0] == "ok"
    assert "vit_small_patch14_dinov2" in line
