"""The command ``lmltgrid run SPEC --store STORE --quiet --shard K/N``, whose units take their time.

A scan of physics is over before a batch system would end it.
"""

from __future__ import annotations

import argparse
import sys

import fake_scan
from lmltgrid.shard import Shard

from lmltgrid import cluster
from lmltgrid.scan import run_scan


def main() -> int:
    """Return the exit code of a run."""
    parser = argparse.ArgumentParser()
    for name in ("verb", "spec", "--store", "--shard"):
        parser.add_argument(name)
    parser.add_argument("--quiet", action="store_true")
    asked = parser.parse_args()
    evaluator = fake_scan.evaluator(fake_scan.slow)
    with cluster.in_process() as executor:
        report = run_scan(asked.store, evaluator, executor, shard=Shard.parse(asked.shard))
    print(report.sentence, flush=True)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
