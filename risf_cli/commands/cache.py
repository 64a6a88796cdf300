"""`risf cache`: the embedding cache, shown and cleared."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from risf_cli.option_values import cache_folder
from risf_cli.options import Json
from risf_core.errors import ConfigError, counted


def cache(
    action: Annotated[
        Literal["info", "prune"],
        typer.Argument(
            metavar="info|prune", help="info: show what it holds; prune: drop unused embeddings, or all beyond a size."
        ),
    ] = "info",
    *,
    cache: Annotated[
        str | None, typer.Option(metavar="DIR", help="Cache folder. (default: the user's cache folder)")
    ] = None,
    unused_days: Annotated[
        int | None, typer.Option(metavar="N", min=0, help="prune: drop embeddings not used for N days; 0 drops all.")
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(metavar="MB", min=0, help="prune: drop the least recently used embeddings beyond N MB."),
    ] = None,
    json_: Json = False,
) -> None:
    """Show what the embedding cache of `risf rescore` holds, and clear it.

    Examples:

      risf cache info

      risf cache prune --unused-days 30 --max-size 2000
    """
    from risf_cli.render import print_json, print_line, print_warnings, say
    from risf_core.encoder.cache import EmbeddingCache

    print_warnings()
    folder = cache_folder(cache)
    if folder is None:
        raise ConfigError("--cache none names no cache; leave it out or name a folder")
    store = EmbeddingCache(folder)
    if action == "prune":
        if unused_days is None and max_size is None:
            raise ConfigError("risf cache prune needs --unused-days N (0 drops all) or --max-size MB")
        most = None if max_size is None else int(max_size * 1e6)
        say(f"dropped {counted(store.prune(unused_days=unused_days, most_bytes=most), 'embedding')}")
    info = store.info()
    if json_:
        print_json({**asdict(info), "path": str(info.path)})
        return
    print_line(str(info.path))
    print_line(f"{info.bytes / 1e6:.1f} MB: {counted(info.crops, 'crop')} and {counted(info.texts, 'text')}")
    if info.oldest_use is not None:
        print_line(f"last used between {info.oldest_use} and {info.newest_use}")
    for key, count in info.by_encoder.items():
        print_line(f"{count:>9}  {_short(key)}")


def _short(key: str) -> str:
    """The encoder's key in a readable line; keys of encoders other than open_clip's are left as they are."""
    try:
        parts = json.loads(key)
        rule = parts["preprocessing"]["crop"]
        return f"{parts['model']}, weights {parts['weights'][:12]}, {parts['precision']}, {rule} crops"
    except (ValueError, KeyError, TypeError):
        return key
