"""Build the wheel, install it into an environment of its own, and run the tests against it.

The tests are copied to a folder without the source, so that only the installed wheel is found.
Those chosen read every shipped file, call every command and compute in workers; the others would say
nothing new of a wheel.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "deploy" / "constraints-py311.txt"
CHOSEN = (
    "unit/test_data*.py",
    "unit/test_experiments.py",
    "unit/test_fluxes.py",
    "unit/test_models.py",
    "unit/test_nuclei.py",
    "unit/test_sites.py",
    "unit/test_solar.py",
    "unit/test_spallation.py",
    "unit/test_api.py",
    "unit/test_cli*.py",
    "unit/test_plots*.py",
    "cluster/test_scan_cluster.py",
    "cluster/test_service.py",
)


def check_content(wheel: Path) -> None:
    """Stop unless the wheel holds every shipped data file."""
    names = set(zipfile.ZipFile(wheel).namelist())
    missing = [
        path
        for path in (ROOT / "data").rglob("*")
        if path.is_file() and f"lmltgrid/data/{path.relative_to(ROOT / 'data')}" not in names
    ]
    if missing:
        sys.exit(f"{wheel.name}: {len(missing)} data files are missing, first {missing[0].name}")


def main() -> int:
    """Return the exit code of the tests."""
    with tempfile.TemporaryDirectory(prefix="lmltgrid-wheel-") as folder:
        place = Path(folder)
        build = [sys.executable, "-m", "build", "--wheel", "--outdir", str(place), str(ROOT)]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        (wheel,) = place.glob("*.whl")
        check_content(wheel)
        subprocess.run([sys.executable, "-m", "venv", str(place / "env")], check=True)
        python = place / "env" / "bin" / "python"
        tools = ["pytest", "hypothesis"]
        install = [str(python), "-m", "pip", "install", "--quiet", "--constraint", str(CONSTRAINTS)]
        subprocess.run([*install, str(wheel), *tools], check=True)
        shutil.copytree(
            ROOT / "tests", place / "tests", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copy(ROOT / "pyproject.toml", place)
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        chosen = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"]
        chosen += ["--hypothesis-profile=ci"]
        for name in CHOSEN:
            some = [str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob(name)]
            if not some:
                sys.exit(
                    f"tests/{name}: there is no such file of tests; mend the list in {__file__}"
                )
            chosen += sorted(some)
        return subprocess.run(chosen, cwd=place, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
