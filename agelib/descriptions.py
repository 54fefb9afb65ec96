"""Descriptions of experiments as plain values: what is reduced in one, and how two differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def sizes(description: Mapping[str, Any]) -> dict[str, int | None]:
    """Return what can be made smaller, as it is in a description: by the names of `reduction`."""
    init = description.get("init")
    while init and "init_epochs" in init["reduction"]:
        init = init["init"]
    return {
        "epochs": description["recipe"]["epochs"],
        "image_size": description["image_size"],
        "init_epochs": init["recipe"]["epochs"] if init else None,
    }


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """Yield ``key: old -> new`` for each entry in which two descriptions differ."""
    for key in sorted({*old, *new}):
        a, b = old.get(key), new.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            yield from (f"{key}.{line}" for line in differences(a, b))
        elif a != b:
            yield f"{key}: {a!r} -> {b!r}"
