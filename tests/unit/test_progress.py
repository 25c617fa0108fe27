"""What a person sees of a running scan: figures, bars, lines."""

from __future__ import annotations

import io
import os
import pty
import re
from pathlib import Path
from typing import TextIO

import pytest
from rich.console import Console

from lmltgrid import progress
from lmltgrid.progress import Audience, LineReporter, Meter, Progress, Silent, show_progress
from lmltgrid.progress import reporters as module


class TestMeter:
    def test_nothing_is_said_before_a_unit_has_ended(self) -> None:
        meter = Meter()
        first = meter.look(0, 10, now=100.0)
        later = meter.look(0, 10, now=107.0)
        assert (first.rate, first.remaining) == (later.rate, later.remaining) == (None, None)
        assert later.seconds == 7.0

    def test_a_resumed_scan_counts_the_units_of_this_run_alone(self) -> None:
        meter = Meter()
        meter.look(9000, 10_000, now=0.0)
        now = meter.look(9010, 10_000, now=5.0)
        assert now.rate == 2.0
        assert now.remaining == 990 / 2.0
        assert now.percent == 90

    def test_units_that_failed_are_not_waited_for(self) -> None:
        meter = Meter()
        meter.look(0, 10, now=0.0)
        now = meter.look(6, 10, failed=2, now=4.0)
        assert now.rate == 2.0  # they took their time
        assert now.remaining == 1.0
        assert meter.look(8, 10, failed=2, now=5.0).remaining == 0.0

    def test_a_slow_start_is_forgotten(self) -> None:
        meter = Meter()
        meter.look(0, 10_000, now=0.0)
        for second in range(20, 70):  # compiling takes 20 s, then ten units a second
            now = meter.look(10 * (second - 19), 10_000, now=float(second))
        assert now.rate == pytest.approx(10.0)

    def test_a_scan_that_stalls_is_seen_to(self) -> None:
        meter = Meter()
        meter.look(0, 100, now=0.0)
        rates = [meter.look(10, 100, now=now).rate for now in (10.0, 20.0, 100.0)]
        assert rates == [1.0, 0.5, 0.1]

    def test_slow_units_are_measured_over_several(self) -> None:
        meter = Meter()
        for done in range(40):  # an hour each, four at a time
            now = meter.look(done // 4 * 4, 100, now=3600.0 * (done // 4))
        assert now.rate == pytest.approx(4 / 3600.0)

    def test_waiting_is_no_slowness(self) -> None:
        meter = Meter()
        meter.look(0, 100, now=0.0)
        waiting = meter.look(0, 100, waiting=True, now=5000.0)
        assert (waiting.rate, waiting.waiting) == (None, True)
        assert meter.look(8, 100, now=5004.0).rate == 2.0

    def test_units_that_vanish_begin_it_again(self) -> None:
        meter = Meter()
        meter.look(50, 100, now=0.0)
        assert meter.look(40, 100, now=1.0).rate is None  # a repair has marked some
        assert meter.look(42, 100, now=2.0).rate == 2.0

    def test_a_scan_without_units_is_done(self) -> None:
        now = Meter().look(0, 0)
        assert (now.percent, now.remaining, now.ended) == (100, 0.0, True)


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (None, "- units/s"),
        (12345.6, "12346 units/s"),
        (99.96, "100 units/s"),
        (12.34, "12.3 units/s"),
        (9.999, "10.0 units/s"),
        (1.0, "1.00 units/s"),
        (0.5, "30.0 units/min"),
        (1 / 3600, "1.00 units/h"),
        (1e-5, "0.04 units/h"),
    ],
)
def test_rates_have_three_digits(rate: float | None, words: str) -> None:
    assert progress.rate_words(rate) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (0.0, "0:00:00"),
        (59.6, "0:01:00"),
        (86399.0, "23:59:59"),
        (86400.0, "1 d 0:00"),
        (200_000.0, "2 d 7:33"),
        (1e9, "over 1000 d"),
    ],
)
def test_times_are_hours_minutes_and_seconds(seconds: float | None, words: str) -> None:
    assert progress.duration_words(seconds) == words


STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d  "


class TestLines:
    def test_a_line_for_every_tenth_with_the_time_of_day(self) -> None:
        stream = io.StringIO()
        reporter = LineReporter(stream)
        for done in range(101):
            for _ in range(2):
                rate = 3.0 if done else None
                reporter.progress(
                    Progress(done, 100, failed=int(done > 55), rate=rate, seconds=9.0)
                )
        lines = stream.getvalue().splitlines()
        assert len(lines) == 11
        assert all(re.match(STAMP, line) for line in lines)
        texts = [line[21:] for line in lines]
        assert texts[0] == "0 of 100 units (0 %), - units/s, time left -"
        assert texts[5] == "50 of 100 units (50 %), 3.00 units/s, time left 0:00:17"
        assert texts[9] == "90 of 100 units (90 %), 3.00 units/s, time left 0:00:03, 1 failed"
        assert texts[10] == "100 of 100 units (100 %), 0:00:09 elapsed, 1 failed"

    def test_a_resumed_scan_begins_where_it_is(self) -> None:
        stream = io.StringIO()
        reporter = LineReporter(stream)
        reporter.progress(Progress(47, 100))
        reporter.progress(Progress(48, 100))
        assert len(stream.getvalue().splitlines()) == 1

    def test_a_sign_of_life_after_long_silence(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clock = [1000.0]
        monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])
        stream = io.StringIO()
        reporter = LineReporter(stream)
        reporter.progress(Progress(1, 1000))
        clock[0] += module.SILENCE - 1
        reporter.progress(Progress(2, 1000))
        reporter.message("something happens")
        clock[0] += module.SILENCE - 1
        reporter.progress(Progress(3, 1000))
        clock[0] += 1
        reporter.progress(Progress(4, 1000, waiting=True))
        reporter.progress(Progress(5, 1000))
        texts = [line[21:] for line in stream.getvalue().splitlines()]
        assert [text.split()[0] for text in texts] == ["1", "something", "4"]
        assert texts[-1] == "4 of 1000 units (0 %), waiting for workers"

    def test_a_terminal_that_cannot_draw_gets_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        with show_progress(Terminal()) as reporter:
            assert isinstance(reporter, LineReporter)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drawn(now: Progress, width: int, age: float = 0.0) -> str:
    """The line of a bar, as a terminal of this width shows it."""
    console = Console(file=Terminal(), width=width, color_system=None, legacy_windows=False)
    with console.capture() as capture:
        console.print(progress.bar_line(now, age, width))
    lines = [line.rstrip() for line in capture.get().splitlines() if line.strip()]
    assert len(lines) == 1
    assert len(lines[0]) <= width
    return lines[0]


class TestBar:
    NOW = Progress(30, 96, failed=2, rate=3.2, seconds=10.0)

    def test_a_wide_terminal_has_all_figures(self) -> None:
        line = drawn(self.NOW, 100)
        figures = "30/96   31 %  2 failed  3.20 units/s  0:00:20 left  0:00:10 elapsed"
        assert line.endswith(figures)
        assert "━" in line

    @pytest.mark.parametrize("width", [100, 80, 60])
    def test_there_is_room_for_what_a_terminal_echoes(self, width: int) -> None:
        assert len(drawn(Progress(30, 96, rate=3.2, seconds=10.0), width) + "^C") <= width

    def test_clocks_run_on_between_units(self) -> None:
        assert drawn(self.NOW, 100, age=5.0).endswith("0:00:15 left  0:00:15 elapsed")
        assert "0:00:00 left" in drawn(self.NOW, 100, age=500.0)

    @pytest.mark.parametrize("width", [60, 50, 44])
    def test_a_narrow_terminal_has_the_figures_that_say_most(self, width: int) -> None:
        line = drawn(Progress(30, 96, rate=3.2, seconds=10.0), width)
        assert line.endswith("30/96   31 %  3.20 units/s  0:00:21 left")
        assert ("━" in line) == (width > 50)

    @pytest.mark.parametrize("width", [60, 100])
    def test_nothing_is_invented_before_the_first_unit(self, width: int) -> None:
        assert "0/96    0 %  - units/s  - left" in drawn(Progress(0, 96, seconds=3.0), width)
        assert drawn(Progress(0, 0), width).endswith("starting")

    def test_what_is_waited_for(self) -> None:
        line = drawn(Progress(0, 96, seconds=3.0, waiting=True), 100)
        assert "waiting for workers  - left" in line

    def test_an_ended_scan_says_how_long_it_took(self) -> None:
        line = drawn(Progress(96, 96, rate=3.2, seconds=30.0), 100, age=60.0)
        assert line.endswith("96/96  100 %  3.20 units/s  0:00:30 elapsed")

    def test_messages_stay_above_it_as_they_are(self) -> None:
        terminal = Terminal()
        with show_progress(terminal) as reporter:
            reporter.progress(Progress(3, 10, rate=2.5))
            reporter.message("[all] is well")
        assert "3/10" in terminal.getvalue()
        assert "[all] is well" in terminal.getvalue()

    def test_a_bar_that_never_began_leaves_nothing(self) -> None:
        terminal = Terminal()
        with show_progress(terminal) as reporter:
            reporter.message("refused")
        last = terminal.getvalue().rpartition("starting")[2]
        assert "\x1b[2K" in last  # its line is erased

    def test_without_color_no_color_is_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("NO_COLOR", "1")
        terminal = Terminal()
        with show_progress(terminal) as reporter:
            reporter.progress(self.NOW)
        assert not re.search(r"\x1b\[(\d+;)*3\d", terminal.getvalue())


def test_quiet_tells_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    with show_progress(quiet=True) as reporter:
        assert isinstance(reporter, Silent)
        reporter.progress(Progress(1, 2))
        reporter.message("nothing")
    assert capfd.readouterr() == ("", "")


def silence(stream: TextIO) -> None:
    """Give a stream that nothing can be written to another end, so that it can be closed."""
    with Path(os.devnull).open("w") as end:
        os.dup2(end.fileno(), stream.fileno())


class TestAudience:
    def test_all_are_told(self) -> None:
        streams = io.StringIO(), io.StringIO()
        audience = Audience(*(LineReporter(stream) for stream in streams))
        audience.progress(Progress(1, 2))
        audience.message("well")
        assert [stream.getvalue().count("\n") for stream in streams] == [2, 2]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is full")
    def test_a_full_disk_under_one_does_not_end_the_scan(self) -> None:
        stream = io.StringIO()
        with Path("/dev/full").open("w") as full:
            audience = Audience(LineReporter(full), LineReporter(stream))
            audience.message("well")
            audience.progress(Progress(1, 2))
            assert stream.getvalue().count("\n") == 2
            silence(full)

    def test_a_terminal_that_is_gone_does_not_end_the_scan(self) -> None:
        ours, theirs = pty.openpty()
        with os.fdopen(theirs, "w") as stream:
            audience = Audience(LineReporter(stream))
            os.close(ours)
            audience.message("is anybody there?")
            silence(stream)
