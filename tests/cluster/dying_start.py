"""A preload of Dask workers: the first processes die, or hang, while they start.

The file that the environment names holds how many of them do, and how.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

if (control := Path(os.environ.get("DYING_START", ""))).is_file():
    count, how = control.read_text().split()
    if int(count) > 0:
        control.write_text(f"{int(count) - 1} {how}")
        if how == "hangs":
            time.sleep(1e6)
        os._exit(1)
