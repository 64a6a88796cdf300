"""`risf demo`: an example that makes its own input and goes through the public commands."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def demo(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where the example is made.")] = Path("demo"),
    photos: Annotated[int, typer.Option(metavar="N", min=1, help="How many photos.")] = 60,
    steps: Annotated[int, typer.Option(metavar="N", min=1, help="How long the small encoder is trained.")] = 250,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same figures.")] = 0,
) -> None:
    """Re-score and evaluate a small example, made on the spot: no data or weights are downloaded.

    Photos of coloured shapes, a simulated detector that finds them but confuses their classes, and a small image-text
    encoder trained on other shapes. It shows the commands at work; its figures say nothing of CLIP.

    Examples:

      risf demo
    """
    import numpy as np

    from risf_cli.commands.evaluate import evaluate
    from risf_cli.commands.rescore import rescore
    from risf_cli.render import say
    from risf_core.demo.encoder import train_encoder
    from risf_core.demo.shapes import make_example

    scenes, training = (np.random.default_rng(stream) for stream in np.random.SeedSequence(seed).spawn(2))
    say(f"making {photos} photos of coloured shapes and a simulated detector's detections in {out}")
    make_example(out, photos=photos, generator=scenes)
    say(f"training a small image-text encoder on other shapes, {steps} steps")
    config, weights = train_encoder(out, steps=steps, generator=training)
    before, after, annotations = out / "detections.json", out / "rescored.json", out / "instances.json"
    photo_folder = out / "photos"
    say(
        f"\nrisf rescore {before} --annotations {annotations} --images {photo_folder} "
        f"--clip-config {config} --clip-weights {weights} --device cpu --precision fp32 --cache none --out {after}"
    )
    rescore(
        str(before),
        annotations=annotations,
        images=[photo_folder],
        clip_config=config,
        clip_weights=weights,
        device="cpu",
        precision="fp32",
        out=str(after),
        cache="none",
    )
    say(f"\nrisf evaluate {before} {after} --annotations {annotations}")
    evaluate([str(before), str(after)], annotations=annotations)
