"""The specification of a small scan, and the chunks of its store."""

from __future__ import annotations

from pathlib import Path

SPEC = """
models = ["Lmu-Ltau", "Lmu"]
mixing = "amaral2021"
experiments = ["darwin-nr", "darwin-er"]
metallicity = ["GS98", "AGSS09met"]
oscillation = "amaral2021"
[mass]
log = { start = 1, stop = 300, num = 12 }
[coupling]
log = { start = 1e-5, stop = 1e-2, num = 12 }
[exposure]
values = [10, 200, 1000]
[threshold]
values = [1.0, 2.0]
[statistic]
sided = "two"
[run]
chunk_mb = 0.01
"""
ONE = SPEC.replace(', "darwin-er"', "")  # of one experiment alone


def chunk_bytes(store: Path) -> dict[str, bytes]:
    """Return the content of each chunk file of the grids, by name."""
    return {
        str(path.relative_to(store)): path.read_bytes()
        for path in sorted((store / "grid").rglob("*"))
        if path.is_file() and "/c/" in str(path)
    }
