"""Where a scan runs: executors behind one interface.

`in_process` needs no cluster; `local` starts one on this machine; `running` uses a scheduler that
runs already; `batch` makes jobs of a batch system its workers. All are context managers, and
`choose` finds one by name.
"""

from lmltgrid.cluster.choice import Choice, choose, dashboard_words
from lmltgrid.cluster.executor import Executor, Outcome
from lmltgrid.cluster.inside import in_process
from lmltgrid.cluster.jobs import batch, job_script
from lmltgrid.cluster.processes import local
from lmltgrid.cluster.scheduler import running
from lmltgrid.cluster.site import read_site

__all__ = [
    "Choice",
    "Executor",
    "Outcome",
    "batch",
    "choose",
    "dashboard_words",
    "in_process",
    "job_script",
    "local",
    "read_site",
    "running",
]
