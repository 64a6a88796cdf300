"""`risf doctor`: a check of the installation and the hardware."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from risf_cli.option_names import with_options
from risf_cli.option_values import cache_folder
from risf_cli.options import (
    Cache,
    Clip,
    ClipConfig,
    ClipWeights,
    Device,
    Json,
    PrecisionChoice,
)
from risf_core.choices import DEFAULT_CLIP

if TYPE_CHECKING:
    from risf_core.doctor import Finding


def doctor(
    clip: Clip = DEFAULT_CLIP,
    clip_weights: ClipWeights = None,
    clip_config: ClipConfig = None,
    device: Device = "auto",
    precision: PrecisionChoice = "auto",
    cache: Cache = None,
    json_: Json = False,
) -> None:
    """Check versions, devices, precision and encoder weights; one line for each.

    A line marked "fault" says what does not work and how to fix it. Nothing is downloaded. Importing the libraries
    takes most of the time. Exit code 0 if risf is usable, 1 if there is a fault.

    Examples:

      risf doctor

      risf doctor --clip ViT-B-32-quickgelu:openai --device cuda

      risf doctor --json
    """
    from risf_cli.render import print_finding, print_json, print_line
    from risf_core.doctor import examine

    findings: list[Finding] = []

    def tell(finding: Finding) -> None:
        finding = replace(finding, verdict=with_options(finding.verdict))
        findings.append(finding)
        if not json_:
            print_finding(finding.name, finding.value, finding.status, finding.verdict)

    tell(_settings_finding())
    for finding in examine(
        clip=clip,
        clip_weights=clip_weights,
        clip_config=clip_config,
        cache=cache_folder(cache),
        device=device,
        precision=precision,
    ):
        tell(finding)
    faults = [finding.name for finding in findings if finding.status == "fault"]
    if json_:
        content = {"usable": not faults, "findings": [finding.to_json() for finding in findings]}
        print_json(content)
    else:
        print_line(f"\nfaults: {', '.join(faults)}" if faults else "\nrisf is usable here")
    if faults:
        raise typer.Exit(1)


def _settings_finding() -> Finding:
    """What is wrong with the working folder's risf.yaml for any command."""
    import os

    from risf_cli.app import COMMANDS, load_command
    from risf_cli.defaults import defaults_of
    from risf_core.doctor import Finding
    from risf_core.errors import RisfError
    from risf_core.files import SETTINGS_FILE

    if not os.path.isfile(SETTINGS_FILE):
        return Finding("settings", "no risf.yaml", "note", "the options' own defaults and the published layout apply")
    for name in COMMANDS:
        try:
            defaults_of(load_command(name), arguments=(), commands=list(COMMANDS))
        except RisfError as error:
            return Finding("settings", SETTINGS_FILE, "fault", str(error).removeprefix(f"{SETTINGS_FILE}: "))
    return Finding("settings", SETTINGS_FILE, "ok", "every key and value is understood (risf config shows them)")
