"""The command line as such: lazy commands, exit codes, and defaults that reach the commands."""

from __future__ import annotations

import importlib.metadata
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Literal

import pytest
import typer

from risf_cli import app as app_module
from risf_cli.app import COMMANDS
from risf_core.errors import DataError

HEAVY = {"numpy", "torch", "PIL", "open_clip", "pycocotools"}


@pytest.fixture
def call(risf, tmp_path, monkeypatch):
    """Calls `risf ...` in this process, in an empty folder; one more command, `probe`, shows its options as JSON."""

    def probe(
        detections: Annotated[list[str] | None, typer.Argument()] = None,
        *,
        annotations: Path | None = None,
        classes: Path | None = None,
        images: list[Path] | None = None,
        clip_weights: Path | None = None,
        novel: str | None = None,
        precision: Literal["auto", "fp32"] = "auto",
        workers: int | None = None,
        alpha: float = 0.7,
        plain: Annotated[bool, typer.Option("--plain")] = False,
        json_: Annotated[bool, typer.Option("--json")] = False,
        fail: str | None = None,
    ) -> None:
        given = {name: value for name, value in locals().items() if name != "fail"}
        if fail == "user":
            raise DataError("d.json: is at fault; mend it")
        if fail == "interrupt":
            raise KeyboardInterrupt
        if fail == "bug":
            raise ZeroDivisionError("ours")
        typer.echo(json.dumps(given, default=str))

    module = ModuleType("risf_cli.commands.probe")
    module.probe = probe
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "probe", ("probe", "Show the options."))
    monkeypatch.chdir(tmp_path)
    app_module.load_command.cache_clear()
    yield risf
    app_module.load_command.cache_clear()


@pytest.fixture
def options(call):
    """The options that the command `probe` gets where risf.yaml holds a text and the person types some."""

    def seen(text: str | None, *arguments: str) -> dict[str, object]:
        if text is not None:
            Path("risf.yaml").write_text(text)
        done = call("probe", *arguments)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    return seen


def modules_after(*arguments: str, environment: dict[str, str] | None = None) -> tuple[set[str], str]:
    """What a fresh process has loaded after `risf ...`, and what that printed."""
    script = (
        "import sys; sys.argv[0] = 'risf'\n"
        "try:\n    from risf_cli.app import main; main()\n"
        "finally:\n    sys.stdout.flush(); print(*sys.modules, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "COLUMNS": "200", **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    return set(done.stderr.splitlines()[-1].split()), done.stdout


def command_modules(modules: set[str]) -> set[str]:
    return {name for name in modules if name.startswith("risf_cli.commands.")}


# Lazy


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",), ("--version",), ("no-such-command",)])
def test_the_root_loads_no_command_and_nothing_heavy(arguments):
    modules, _ = modules_after(*arguments)
    assert not modules & (HEAVY | {"yaml"})
    assert not command_modules(modules)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_a_command_loads_that_command_alone_and_nothing_heavy(command):
    modules, printed = modules_after(command, "--help")
    assert f"risf {command}" in printed
    assert not modules & HEAVY
    assert command_modules(modules) == {f"risf_cli.commands.{COMMANDS[command][0]}"}


def completions(words: str) -> tuple[set[str], list[str]]:
    environment = {"_RISF_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    modules, printed = modules_after(environment=environment)
    return modules, printed.split()


def test_completion_of_commands_loads_none_of_them():
    modules, words = completions("risf ")
    assert words == list(COMMANDS)
    assert not modules & HEAVY
    assert not command_modules(modules)


def test_completion_of_options_and_of_their_values_loads_nothing_heavy():
    modules, words = completions("risf rescore --alp")
    assert words == ["--alpha"]
    assert not modules & HEAVY
    assert completions("risf rescore --crop p")[1] == ["pad"]


def test_completion_works_beside_a_broken_risf_yaml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("risf.yaml").write_text("nonsense: 1\n")
    assert completions("risf rescore --alp")[1] == ["--alpha"]


# What a person sees


def test_help_lists_every_command_with_its_line(call):
    done = call("--help")
    assert done.exit_code == 0
    for name, (_, line) in COMMANDS.items():
        assert f"{name} {line[:20]}" in " ".join(done.stdout.replace("│", " ").split())


def test_help_groups_the_commands(call):
    lines = call("--help").stdout.splitlines()
    panels = [line.strip("╭─╮ ") for line in lines if line.startswith("╭")]
    assert [panel for panel in panels if panel != "Commands"] == [  # the test's own command is in no group
        "Options", "Re-scoring", "Few-shot training", "Tools",
    ]  # fmt: skip


def test_the_line_of_each_command_is_the_same_as_in_its_own_help():
    for name in COMMANDS:
        assert app_module.load_command(name).name == name


def test_risf_alone_shows_the_help_and_is_wrong_usage(call):
    done = call()
    assert done.exit_code == 2
    assert "Usage: risf [OPTIONS] COMMAND [ARGS]..." in done.output


def test_version_is_the_packages(call):
    done = call("--version")
    assert (done.exit_code, done.stdout) == (0, f"risf {importlib.metadata.version('risf')}\n")


def test_a_command_that_ends_well_exits_with_zero(call):
    assert call("probe").exit_code == 0


def test_a_fault_of_the_user_is_one_line_on_stderr_and_exits_with_one(call):
    done = call("probe", "--fail", "user")
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", "error: d.json: is at fault; mend it\n")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["prob"], "No such command 'prob'. Did you mean 'probe'?"),
        (["probe", "--aplha", "1"], "No such option: --aplha"),
        (["probe", "--workers", "many"], "Invalid value for '--workers'"),
        (["probe", "--precision", "fp64"], "Invalid value for '--precision': 'fp64' is not one of 'auto', 'fp32'."),
    ],
)
def test_wrong_usage_is_named_on_stderr_and_exits_with_two(call, arguments, complaint):
    done = call(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert complaint in " ".join(done.stderr.replace("│", " ").split())


def test_an_interrupt_exits_with_130(call):
    done = call("probe", "--fail", "interrupt")
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="signals and pipes with names are POSIX's")
def test_ctrl_c_while_a_command_works_exits_with_130(tmp_path):
    os.mkfifo(tmp_path / "gt.json")
    command = [sys.executable, "-m", "risf_cli", "evaluate", "d.json", "--annotations", "gt.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with open(tmp_path / "gt.json", "w"):  # opens once the command reads, and it reads until this is closed
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60) == ("", "interrupted\n")
    assert process.returncode == 130


def test_a_bug_shows_its_traceback(call):
    done = call("probe", "--fail", "bug")
    assert type(done.exception) is ZeroDivisionError
    script = (
        "import sys, types; from risf_cli import app\n"
        "module = types.ModuleType('risf_cli.commands.broken'); sys.modules[module.__name__] = module\n"
        "def broken() -> None: raise ZeroDivisionError('ours')\n"
        "module.broken = broken; app.COMMANDS['broken'] = ('broken', 'Fails.')\n"
        "sys.argv = ['risf', 'broken']; app.main()\n"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert shown.returncode == 1
    assert shown.stderr.startswith("Traceback (most recent call last):")
    assert shown.stderr.endswith("\nZeroDivisionError: ours\n")


@pytest.mark.skipif(sys.platform == "win32", reason="pipes end otherwise on Windows")
def test_a_reader_that_has_enough_ends_the_command_quietly(tmp_path):
    script = (
        "import os; from pathlib import Path\n"
        "from risf_core.detections import Detections; from risf_core.vocabulary import ClassVocabulary\n"
        "from risf_core.formats.coco import write_detections\n"
        "import sys, types; from risf_cli import app\n"
        "table = Detections.from_rows([1] * 9000, [[1, 2, 3, 4]] * 9000, [0.5] * 9000, [0] * 9000)\n"
        "def long() -> None: write_detections('-', table, ClassVocabulary(('cat',), (1,)))\n"
        "module = types.ModuleType('risf_cli.commands.long'); sys.modules[module.__name__] = module\n"
        "module.long = long; app.COMMANDS['long'] = ('long', 'Writes much.')\n"
        "sys.argv = ['risf', 'long']; app.main()\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"[\n"
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


# Defaults


def test_without_risf_yaml_and_layout_the_commands_own_defaults_hold(options):
    seen = options(None)
    assert seen == {
        "detections": None, "annotations": None, "classes": None, "images": None, "clip_weights": None, "novel": None,
        "precision": "auto", "workers": None, "alpha": 0.7, "plain": False, "json_": False,
    }  # fmt: skip


def test_an_option_beats_risf_yaml_which_beats_the_layout(options):
    Path("datasets/cocosplit/datasplit").mkdir(parents=True)
    Path("datasets/cocosplit/datasplit/5k.json").touch()
    Path("datasets/coco/val2014").mkdir(parents=True)
    layout = options(None)
    assert layout["annotations"] == os.path.join("datasets", "cocosplit", "datasplit", "5k.json")
    assert layout["images"] == [os.path.join("datasets", "coco", "val2014")]
    shared = options("annotations: shared.json\nimages: [a, b]\n")
    assert (shared["annotations"], shared["images"]) == ("shared.json", ["a", "b"])
    section = "annotations: shared.json\nimages: a\nprobe:\n  annotations: section.json\n"
    assert options(section)["annotations"] == "section.json"
    typed = options(section, "--annotations", "typed.json", "--images=c", "--images", "d")
    assert (typed["annotations"], typed["images"]) == ("typed.json", ["c", "d"])


def test_classes_that_are_typed_beat_annotations_that_lie_there(options):
    seen = options("annotations: shared.json\n", "--classes", "names.txt")
    assert (seen["annotations"], seen["classes"]) == (None, "names.txt")
    seen = options("classes: names.txt\n", "--annotations=typed.json")
    assert (seen["annotations"], seen["classes"]) == ("typed.json", None)


def test_values_are_read_as_if_they_were_typed(options):
    seen = options(
        "clip-weights: ~/vit.pt\nnovel: [cat, dog]\nworkers: 3\nimages: photos\n"
        "probe:\n  alpha: 1\n  plain: true\n  json: true\n  detections: d.json\n"
    )
    assert seen == {
        "detections": ["d.json"], "annotations": None, "classes": None, "images": ["photos"],
        "clip_weights": os.path.expanduser("~/vit.pt"), "novel": "cat,dog", "precision": "auto", "workers": 3,
        "alpha": 1.0, "plain": True, "json_": True,
    }  # fmt: skip


def test_every_fault_of_risf_yaml_is_in_one_error(call):
    Path("risf.yaml").write_text(
        "anotations: a\nworkers: many\nprobe:\n  alfa: 1\n  plain: often\n  alpha: [x, {}]\n  precision: fp64\n"
    )
    done = call("probe")
    assert (done.exit_code, done.stdout) == (1, "")
    line = done.stderr
    assert line.startswith(
        "error: risf.yaml: unknown key 'anotations' (did you mean 'annotations'?); "
        "[probe] has no option 'alfa' (did you mean 'alpha'?); workers: 'many' does not fit: "
    )
    assert (
        "; [probe] plain: 'often' is not true or false; [probe] alpha: ['x', {}] is not a value of an option; " in line
    )
    assert "; [probe] precision: 'fp64' does not fit: 'fp64' is not one of 'auto', 'fp32'" in line
    assert line.count("\n") == 1


def test_help_is_shown_beside_a_broken_risf_yaml(call):
    Path("risf.yaml").write_text("nonsense: 1\n")
    assert call("probe").exit_code == 1
    assert call("probe", "--help").exit_code == 0
    assert call("--help").exit_code == 0


def test_defaults_reach_a_real_command(call):
    document = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "cat"}]}
    row = {"image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}
    Path("gt.json").write_text(json.dumps({**document, "annotations": [row]}))
    Path("d.json").write_text(json.dumps([{**row, "score": 0.5}]))
    Path("risf.yaml").write_text("annotations: gt.json\nevaluate:\n  detections: [d.json]\n  json: true\n")
    done = call("evaluate")
    assert done.exit_code == 0
    assert round(json.loads(done.stdout)["results"][0]["metrics"]["AP"], 12) == 1  # the only box, found whole


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["rescore", "d.json"], "--images is missing: name the folder of the photos, or write `images: ...` into "
            "risf.yaml"),
        (["evaluate", "d.json"], "risf evaluate needs --annotations; pass it, or write `annotations: ...` into "
            "risf.yaml of the working folder"),
    ],
)  # fmt: skip
def test_a_bare_line_in_an_empty_folder_names_what_is_missing(call, arguments, message):
    done = call(*arguments)
    assert (done.exit_code, done.stdout, done.stderr) == (1, "", f"error: {message}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's")
def test_a_full_disk_behind_stdout_is_one_line():
    command = [sys.executable, "-m", "risf_cli", "config", "coco/base", "--json"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: stdout cannot be written whole: No space left on device; free some space\n"


# Streams


def risf_in_shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of the shell in which `risf` is the command."""
    script = f'risf() {{ "{sys.executable}" -c "from risf_cli.app import main; main()" "$@"; }}; {line}'
    return subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("command", ["--version", "--help", "evaluate --help"])
def test_a_full_stdout_is_told_in_one_line(tmp_path, command):
    done = risf_in_shell(f"risf {command} > /dev/full", tmp_path)
    assert done.returncode == 1
    assert done.stderr == "error: stdout cannot be written whole: No space left on device; free some space\n"


@pytest.mark.parametrize("streams", ["2> /dev/full", "2>&-", "<&-"])
def test_a_command_works_without_the_streams_that_it_needs_not(tmp_path, streams):
    done = risf_in_shell(f"risf --version {streams}", tmp_path)
    assert (done.returncode, done.stdout.split()[0], done.stderr) == (0, "risf", "")


def test_an_error_does_not_land_on_stdout_when_stderr_is_closed(tmp_path):
    done = risf_in_shell("risf evaluate none.json --annotations none.json 2>&-", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_closed_stdin_is_told(tmp_path):
    truth = {
        "images": [{"id": 1, "file_name": "1.jpg", "width": 9, "height": 9}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 5, 5], "area": 25, "iscrowd": 0}],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    done = risf_in_shell("risf evaluate - --annotations gt.json <&-", tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: stdin is closed")


def test_control_characters_of_a_message_are_escaped(call, monkeypatch):
    def probe() -> None:
        raise DataError("a\x1b[31m b\u202e c\nd\ud800")

    monkeypatch.setattr(sys.modules["risf_cli.commands.probe"], "probe", probe)
    app_module.load_command.cache_clear()
    assert call("probe").stderr == "error: a\\x1b[31m b\\u202e c d\\ud800\n"


@pytest.mark.parametrize(
    "text", ["novel: 2024-99-99", 'novel: !!int ""', "novel: &x\n  a: *x", "[" * 3000, "\x00", "- a"]
)
def test_help_and_version_are_given_beside_any_broken_risf_yaml(call, text):
    Path("risf.yaml").write_text(text)
    for words in (["--help"], ["--version"], ["probe", "--help"]):
        assert call(*words).exit_code == 0, words
    done = call("probe")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: risf.yaml: ")
    assert len(done.stderr.splitlines()) == 1


def test_cache_is_a_shared_key_where_it_is_a_text_and_a_section_where_it_holds_options(call, options):
    assert options("cache: mycache\n") == options("")
    Path("risf.yaml").write_text("cache: {cache: mycache}\n")
    done = call("cache", "info")
    assert (done.exit_code, done.stdout.splitlines()[0]) == (0, "mycache/embeddings.sqlite"), done.output
