"""Made-up predictions, as records have them."""

import numpy as np
import pandas as pd


def made_up(n=60, k=5, *, state=0, skill=2.0, decimals=5, true=None):
    """Predictions of a model with some skill; one class a year, so that ages are classes."""
    generator = np.random.default_rng(state)
    true = generator.integers(k, size=n) if true is None else np.asarray(true)
    n = len(true)
    logits = generator.normal(size=(n, k)) - skill * np.abs(np.arange(k) - true[:, None]) / 2
    p = np.exp(logits)
    p = (p / p.sum(axis=1, keepdims=True)).round(decimals)
    table = pd.DataFrame({"file": [f"{i:05d}.jpg" for i in range(n)], "age": true})
    table = table.assign(true=true, predicted=p.argmax(axis=1), expected_age=p @ np.arange(k))
    female = np.random.default_rng([state, 1]).integers(2, size=n)
    share = np.random.default_rng([state, 2]).random(n)
    table = table.assign(female=female, p_female=(share + skill * female) / (1 + skill))
    return pd.concat([table, pd.DataFrame(p, columns=[f"p{c}" for c in range(k)])], axis=1)


def regression(n=60, *, state=0, spread=8.0):
    generator = np.random.default_rng(state)
    age = generator.integers(1, 90, size=n)
    files = [f"{i:05d}.jpg" for i in range(n)]
    return pd.DataFrame(
        {"file": files, "age": age, "predicted": age + generator.normal(0, spread, n).round(3)}
    )
