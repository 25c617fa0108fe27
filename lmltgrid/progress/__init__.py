"""Who follows a scan, and how: a bar on a terminal or in a notebook, lines elsewhere, a journal.

A scan tells a `Reporter` how far it is and what happens; `show_progress` chooses the one that fits
the place where the scan runs, a `Journal` writes everything for programs.
"""

from lmltgrid.progress.journal import Journal
from lmltgrid.progress.meter import Meter, Progress, duration_words, rate_words
from lmltgrid.progress.reporters import (
    Audience,
    LineReporter,
    Message,
    Reporter,
    Silent,
    bar_line,
    line_words,
    show_progress,
    timed,
)

__all__ = [
    "Audience",
    "Journal",
    "LineReporter",
    "Message",
    "Meter",
    "Progress",
    "Reporter",
    "Silent",
    "bar_line",
    "duration_words",
    "line_words",
    "rate_words",
    "show_progress",
    "timed",
]
