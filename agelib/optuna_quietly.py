"""Optuna without what it says when it is imported: its bar asks for widgets that nobody needs."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message="IProgress not found")
    import optuna

__all__ = ["optuna"]
