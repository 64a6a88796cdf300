"""Finding an encoder: names, tags, files and folders; what is said where one is missing or does not fit."""

from __future__ import annotations

import json
import urllib.error
from pathlib import Path

import open_clip
import pytest
import torch

from risf_core.encoder.open_clip import OpenClipEncoder
from risf_core.encoder.weights import find_encoder, is_torchscript
from risf_core.errors import EncoderError
from risf_core.hub import in_reach
from tests.tiny_encoder import TINY, save_tiny


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """No server answers, and the caches of the hub and of open_clip are empty."""

    def refuse(*arguments, **options):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HOME", str(tmp_path))


def message_of(*arguments, **options) -> str:
    with pytest.raises(EncoderError) as caught:
        find_encoder(*arguments, **options)
    return str(caught.value)


def test_the_papers_encoder_without_network_names_the_file_to_fetch(no_network):
    assert message_of() == (
        "ViT-L-14-336-quickgelu:openai: its weights are not on this machine and there is no network; fetch "
        "open_clip_model.safetensors from https://huggingface.co/timm/vit_large_patch14_clip_336.openai on a machine "
        "with network and pass it with `clip_weights`"
    )


def test_a_repository_without_network_names_its_files(no_network):
    assert message_of("hf-hub:timm/vit_base_patch32_clip_224.openai") == (
        "hf-hub:timm/vit_base_patch32_clip_224.openai is not on this machine and there is no network; fetch "
        "open_clip_config.json and open_clip_model.safetensors from "
        "https://huggingface.co/timm/vit_base_patch32_clip_224.openai on a machine with network and pass their folder "
        "with `clip=local-dir:FOLDER`"
    )


def test_weights_in_the_hubs_cache_are_found_without_network(no_network, tmp_path, tiny):
    snapshot = tmp_path / "hub" / "models--timm--vit_large_patch14_clip_336.openai" / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (snapshot / "open_clip_model.safetensors").write_bytes(tiny[1].read_bytes())
    refs = snapshot.parent.parent / "refs"
    refs.mkdir()
    (refs / "main").write_text("1")
    source = find_encoder()
    assert source.weights == snapshot / "open_clip_model.safetensors"
    assert (source.name, source.tag) == ("ViT-L-14-336-quickgelu", "openai")


def test_an_openai_tag_in_a_config_without_quick_gelu_is_an_error():
    assert message_of("ViT-L-14-336:openai") == (
        "`clip=ViT-L-14-336` lacks QuickGELU, with which the tag 'openai' was trained, so its numbers would be "
        "silently wrong; use `clip=ViT-L-14-336-quickgelu`"
    )


def test_a_tag_without_quick_gelu_in_a_config_that_has_it_is_an_error(monkeypatch):
    stated = open_clip.get_pretrained_cfg
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *names: {**stated(*names), "quick_gelu": False})
    assert message_of("ViT-B-32-quickgelu:openai") == (
        "`clip=ViT-B-32-quickgelu` has QuickGELU, without which the tag 'openai' was trained, so its numbers would be "
        "silently wrong; use `clip=ViT-B-32`"
    )


@pytest.mark.parametrize(
    ("clip", "opening"),
    [
        ("ViT-L-41:openai", "`clip=ViT-L-41` is not a model of open_clip (did you mean 'ViT-L-16' or 'ViT-L-14'?)"),
        ("ViT-B-32", "`clip=ViT-B-32` names no weights; add a tag (ViT-B-32:openai) or `clip_weights`"),
        ("ViT-B-32:laion", "`clip=ViT-B-32:laion`: ViT-B-32 has no weights tagged 'laion'"),
    ],
)
def test_unknown_names_and_tags_are_refused_with_the_nearest(clip, opening):
    assert message_of(clip).startswith(opening)


def test_a_misspelt_tag_beside_local_weights_is_refused(tiny):
    assert message_of("ViT-B-32:opnai", weights=tiny[1]).startswith(
        "`clip=ViT-B-32:opnai`: ViT-B-32 has no weights tagged 'opnai' (did you mean 'openai'?); tags: openai, "
    )


def test_local_weights_get_the_preprocessing_that_all_tags_of_the_model_share(tiny, monkeypatch):
    monkeypatch.setattr("risf_core.encoder.weights._check_text_side", lambda source: None)  # no transformers
    stated = find_encoder("ViT-B-16-SigLIP", weights=tiny[1]).preprocess
    assert (stated["mean"], stated["std"]) == ([0.5, 0.5, 0.5], [0.5, 0.5, 0.5])


def test_where_tags_do_not_share_their_preprocessing_one_must_be_named(tiny):
    assert message_of("ViT-L-14", weights=tiny[1]).startswith(
        "`clip=ViT-L-14`: its published weights were trained with different preprocessing; name the tag whose "
        "preprocessing yours were trained with, as in `clip=ViT-L-14:openai` (tags: openai, "
    )
    assert find_encoder("ViT-L-14:laion2b_s32b_b82k", weights=tiny[1]).preprocess["mean"] == [0.5, 0.5, 0.5]


def test_a_model_named_twice_is_refused(tiny):
    assert message_of("ViT-B-32", config=tiny[0], weights=tiny[1]) == (
        f"`clip=ViT-B-32` and `clip_config={tiny[0]}` name two models; pass one of them"
    )


def test_a_missing_weights_file_is_named(tmp_path):
    assert message_of(weights=tmp_path / "x.pt") == f"`clip_weights={tmp_path / 'x.pt'}`: there is no such file"


def test_a_config_without_weights_is_refused(tiny):
    assert message_of(config=tiny[0]) == (
        f"`clip_config={tiny[0]}` names a model without weights; pass `clip_weights` too"
    )


def test_a_config_of_another_form_is_refused(tiny, tmp_path):
    path = tmp_path / "other.json"
    path.write_text('{"embed_dim": 4}')
    assert message_of(config=path, weights=tiny[1]) == (
        f"{path}: is damaged ($: object missing required field vision_cfg); pass a model config in open_clip's form"
    )


def repository(folder: Path, tiny: tuple[Path, Path], **config) -> Path:
    folder.mkdir()
    content = {"model_cfg": {**TINY, **config}, "preprocess_cfg": {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    (folder / "open_clip_model.safetensors").write_bytes(tiny[1].read_bytes())
    return folder


def test_a_local_folder_in_open_clips_form_is_loaded(tiny, tmp_path):
    folder = repository(tmp_path / "repo", tiny)
    source = find_encoder(f"local-dir:{folder}")
    assert source.weights == folder / "open_clip_model.safetensors"
    assert OpenClipEncoder(source).encode_texts(["cat"]).shape == (1, 16)


def test_a_local_folder_names_the_files_that_it_lacks_and_asks_no_network(monkeypatch, tiny, tmp_path):
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *arguments, **options: asked.append(arguments))
    empty = tmp_path / "empty"
    empty.mkdir()
    said = message_of(f"local-dir:{empty}")
    assert f"local-dir:{empty}" in said
    assert "open_clip_config.json" in said
    folder = repository(tmp_path / "repo", tiny)
    (folder / "open_clip_model.safetensors").unlink()
    assert f"{folder} has no weights; put open_clip_model.safetensors or" in message_of(f"local-dir:{folder}")
    assert asked == []


def test_a_config_beside_local_weights_tells_of_quick_gelu(tiny, tmp_path):
    folder = repository(tmp_path / "repo", tiny, quick_gelu=True)
    file = folder / "open_clip_model.safetensors"
    assert message_of(config=tiny[0], weights=file) == (
        f"`clip=tiny-clip` lacks QuickGELU, with which {file} (open_clip_config.json beside it says so) was trained, "
        "so its numbers would be silently wrong; use `clip=tiny-clip-quickgelu`"
    )


def test_quick_gelu_changes_the_numbers_so_the_check_is_worth_it(tiny, tmp_path, photos):
    config, _ = save_tiny(tmp_path, "tiny-quick", {**TINY, "quick_gelu": True})
    plain = OpenClipEncoder(find_encoder(config=tiny[0], weights=tiny[1])).encode_texts(["cat"])
    quick = OpenClipEncoder(find_encoder(config=config, weights=tiny[1])).encode_texts(["cat"])
    assert not (plain == quick).all()


class _Archive(torch.nn.Module):
    """Stands for the archive in which OpenAI published CLIP: TorchScript with three extra tensors."""

    def __init__(self, state: dict[str, torch.Tensor]) -> None:
        super().__init__()
        for name, value in state.items():
            module = self
            *path, last = name.split(".")
            for part in path:
                if not hasattr(module, part):
                    module.add_module(part, torch.nn.Module())
                module = getattr(module, part)
            module.register_buffer(last, value)
        for name in ("input_resolution", "context_length", "vocab_size"):
            self.register_buffer(name, torch.tensor(1))

    def forward(self) -> int:
        return 0


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_openais_own_archives_want_quick_gelu_and_load_with_it(tiny, tmp_path):
    from safetensors.torch import load_file

    path = tmp_path / "ViT.pt"
    torch.jit.save(torch.jit.script(_Archive(load_file(tiny[1]))), str(path))
    assert is_torchscript(path)
    assert message_of(config=tiny[0], weights=path) == (
        f"`clip=tiny-clip` lacks QuickGELU, with which {path} (a TorchScript archive, as OpenAI publishes CLIP) was "
        "trained, so its numbers would be silently wrong; use `clip=tiny-clip-quickgelu`"
    )
    config, _ = save_tiny(tmp_path / "quick", "tiny-openai", {**TINY, "quick_gelu": True})
    from_archive = OpenClipEncoder(find_encoder(config=config, weights=path)).encode_texts(["cat"])
    from_file = OpenClipEncoder(find_encoder(config=config, weights=tiny[1])).encode_texts(["cat"])
    assert (from_archive == from_file).all()


def test_every_default_of_open_clips_registry_has_the_form_we_read():
    for name, tag in open_clip.list_pretrained():
        stated = open_clip.get_pretrained_cfg(name, tag)
        assert stated.get("hf_hub") or stated.get("url"), (name, tag)


def test_offline_is_asked_once_and_the_hub_variable_is_honoured(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: pytest.fail("the network was used"))
    assert not in_reach("https://huggingface.co")


def test_a_pointer_in_place_of_weights_is_named_before_anything_is_built(tiny, tmp_path) -> None:
    (tmp_path / "w.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    message = message_of(config=tiny[0], weights=tmp_path / "w.safetensors")
    assert f"{tmp_path / 'w.safetensors'}: is a pointer of Git LFS" in message
