"""Configs: layers, types, origins, and all faults at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from risf_core.config import KEYS, find_config, published_config, read_config
from risf_core.errors import ConfigError
from tests.messages import assert_names

PUBLISHED = [f"{data}/{stage}" for data in ("coco", "voc") for stage in ("base", "fsod", "gfsod")]
PUBLISHED += [f"coco/{stage}-swin-l" for stage in ("base", "fsod", "gfsod")]


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_are_sound_and_their_first_line_is_the_command_that_runs_them(name: str) -> None:
    path = published_config(name)
    read_config(path)
    first = path.read_text().splitlines()[0]
    command = "base-train" if "/base" in name else "finetune"
    assert first.startswith(f"# risf {command} --config configs/{name}.yaml")


@pytest.mark.parametrize(
    ("name", "scale", "dropout", "res5", "loss", "rate", "short_side"),
    [  # FACTS: DeFRCN's configs
        ("coco/base", 0.75, 0.0, False, "cross-entropy", 0.02, 640),
        ("coco/fsod", 0.01, 0.8, True, "paper", 0.01, 640),
        ("coco/gfsod", 0.01, 0.8, True, "paper", 0.01, 640),
        ("voc/base", 0.75, 0.0, False, "cross-entropy", 0.02, 480),
        ("voc/fsod", 0.001, 0.8, True, "paper", 0.01, 480),
        ("voc/gfsod", 0.001, 0.8, True, "paper", 0.01, 480),
    ],
)
def test_published_configs_hold_the_published_numbers(name, scale, dropout, res5, loss, rate, short_side) -> None:
    config = read_config(published_config(name)).values
    assert config.model.rcnn_gradient_scale == scale
    assert config.model.rpn_gradient_scale == 0
    assert config.model.classifier_dropout == dropout
    assert config.model.freeze_res5 == res5
    assert config.loss.preset == loss
    assert config.solver.learning_rate == rate
    assert (config.solver.momentum, config.solver.weight_decay, config.solver.batch) == (0.9, 5e-5, 16)
    assert config.data.short_sides == tuple(range(short_side, 801, 32))


def test_a_value_comes_from_the_last_layer_that_states_it(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("solver: {batch: 8, momentum: 0.5}\ndata: {flip: 0}\n")
    (tmp_path / "mine.yaml").write_text("extends: base.yaml\nsolver: {batch: 4, weight_decay: 1e-4}\n")
    found = read_config(
        tmp_path / "mine.yaml",
        options={"data.shots": ("--shots", 5), "data.seed": ("--seed", 1)},
        overrides=["data.seed=2", "data.short_sides=[100, 200]", "solver.device=cpu"],
    )
    origins = {key: (found.values.flat()[key], found.origins[key]) for key in KEYS}
    assert origins["solver.momentum"] == (0.5, str(tmp_path / "base.yaml"))
    assert origins["solver.batch"] == (4, str(tmp_path / "mine.yaml"))
    assert origins["solver.weight_decay"] == (1e-4, str(tmp_path / "mine.yaml"))  # PyYAML reads 1e-4 as text
    assert origins["data.flip"] == (0.0, str(tmp_path / "base.yaml"))
    assert origins["data.shots"] == (5, "--shots")
    assert origins["data.seed"] == (2, "--set")
    assert origins["data.short_sides"] == ([100, 200], "--set")
    assert origins["solver.device"] == ("cpu", "--set")
    assert origins["model.freeze_res5"] == (False, "default")


def test_what_is_in_force_reads_back_as_the_same_config(tmp_path: Path) -> None:
    import yaml

    config = read_config(published_config("voc/gfsod"), overrides=["data.images=[a, b]", "data.shots=3"]).values
    (tmp_path / "again.yaml").write_text(yaml.safe_dump(config.to_json()))
    assert read_config(tmp_path / "again.yaml").values == config


def test_all_faults_stand_in_one_error(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("los: {}\nloss: {gama: 2}\nsolver: {batch: 0, precision: fp61, iterations: 2.5}\n")
    with pytest.raises(ConfigError) as caught:
        read_config(path, overrides=["model.freeze_res5=maybe", "flip=1", "data.fip=0"])
    assert str(caught.value) == "; ".join(
        [
            f"{path}: there is no section 'los' (did you mean 'loss'?); data, model, loss, solver",
            f"{path}: [loss] has no key 'gama' (did you mean 'gamma'?)",
            "--set 'flip=1' is not section.key=value, as in solver.batch=8",
            "--set data.fip=0: [data] has no key 'fip' (did you mean 'flip'?)",
            f"{path}: [solver] batch: expected int >= 1, got 0",
            f"{path}: [solver] precision: expected auto or fp32 or bf16 or fp16 (did you mean 'fp16'?), got \"fp61\"",
            f"{path}: [solver] iterations: expected int | null, got 2.5",
            '--set: [model] freeze_res5: expected bool, got "maybe"',
        ]
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("solver: {momentum: .nan}", "[solver] momentum: expected float >= 0.0, got NaN"),
        ("solver: {batch: true}", "[solver] batch: expected int, got true"),
        ("solver: {batch: many}", '[solver] batch: expected int, got "many"'),
        ("solver: {learning_rate: null}", "[solver] learning_rate: expected float, got null"),
        ("data: {flip: 2}", "[data] flip: expected float <= 1.0, got 2"),
        ("data: {short_sides: [640, x]}", '[data] short_sides[1]: expected int, got [640, "x"]'),
        ("data: {short_sides: []}", "[data] short_sides: expected array of length >= 1, got []"),
        ("data: {short_sides: ''}", "[data] short_sides: expected array of length >= 1, got []"),
        ("data: {short_sides: [640, 20000]}", "[data] short_sides[1]: expected int <= 10000, got [640, 20000]"),
        ("data: {long_side: 0}", "[data] long_side: expected int >= 16, got 0"),
        ("solver: {seed: 99999999999999}", "[solver] seed: expected int <= 1000000000, got 99999999999999"),
        ("solver: {seed: 99999999999999999999}", "[solver] seed: expected int <= 1000000000, got 99999999999999999999"),
        ("solver: {learning_rate: .inf}", "[solver] learning_rate: expected a finite number, got inf"),
        ("solver: {learning_rate: 1e400}", '[solver] learning_rate: number out of range, got "1e400"'),
        ("solver: {weight_decay: -.inf}", "[solver] weight_decay: expected float >= 0.0, got -Infinity"),
        ("loss: {gamma: .nan}", "[loss] gamma: expected float >= 0.0, got NaN"),
        ('data: {coco: "a\\0b"}', '[data] coco[0]: expected a path, got ["a\\u0000b"]'),
        ("solver: {batch: 2024-13-45}", "is not valid YAML: month must be in 1..12"),
        ("data: {split: {a: 1}}", '[data] split: expected a path, got {"a": 1}'),
        ("data: 3", "[data] must hold keys and values, got 3"),
        ("extends: [a]", "extends: ['a'] is not the name of a file"),
        ("extends: other.yaml", "there is no such config; check the path"),
        ("[1, 2]", "holds list, not sections of keys and values"),
        ("a: [", "is not valid YAML"),
    ],
)
def test_a_bad_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(Exception) as caught:
        read_config(tmp_path / "c.yaml")
    assert message in str(caught.value)


def test_a_date_that_is_none_is_the_text_that_it_is_on_the_command_line() -> None:
    assert read_config(overrides=["data.split=2024-13-45"]).values.data.split == Path("2024-13-45")
    with pytest.raises(ConfigError, match=r"--set: \[solver\] batch: expected int, got .2024-13-45."):
        read_config(overrides=["solver.batch=2024-13-45"])


def test_extending_goes_one_level(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {flip: 0}")
    (tmp_path / "b.yaml").write_text("extends: a.yaml")
    (tmp_path / "c.yaml").write_text("extends: b.yaml")
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "c.yaml")
    assert_names(str(caught.value), f"{tmp_path}/b.yaml", "c.yaml", "extended")


def test_a_config_is_found_by_path_or_published_name(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("")
    assert find_config(str(tmp_path / "c.yaml")) == tmp_path / "c.yaml"
    assert find_config("voc/base") == published_config("voc/base")
    with pytest.raises(ConfigError, match="there is no such config; check the path"):
        find_config("nowhere.yaml")
    with pytest.raises(ConfigError) as caught:
        find_config("coco/fsot")
    assert "there is no config 'coco/fsot' (did you mean 'coco/fsod'" in str(caught.value)
