"""The command ``lmltgrid run SPEC --store STORE``, whose units take their time.

A scan of physics is over before a batch system would end it.
"""

from __future__ import annotations

import argparse
import sys

import fake_scan

from lmltgrid import cluster
from lmltgrid.scan import run_scan
from lmltgrid.shard import Shard


def main() -> int:
    """Return the exit code of a run."""
    parser = argparse.ArgumentParser()
    for name in ("verb", "spec", "--store", "--shard"):
        parser.add_argument(name)
    parser.add_argument("--cluster", default="in-process")
    parser.add_argument("--workers", type=int)
    parser.add_argument("--quiet", action="store_true")
    asked = parser.parse_args()
    evaluator = fake_scan.evaluator(fake_scan.slow)
    shard = Shard.parse(asked.shard) if asked.shard else None
    with cluster.choose(asked.cluster, asked.workers).start() as executor:
        report = run_scan(asked.store, evaluator, executor, shard=shard)
    print(report.sentence, flush=True)
    return report.exit_code


if __name__ == "__main__":
    sys.exit(main())
