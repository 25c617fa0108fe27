"""The frame of the command line: verbs under headings, and one sentence for every error.

Nothing but click and the standard library is imported here, so that help is quick.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final, TextIO

import click

from lmltgrid.errors import LmltgridError, MachineError

CONTEXT: Final = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
TRACEBACK: Final = "--traceback"

EXIT_INTERNAL: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_CODES: Final = """\
0 done, 1 internal error, 2 wrong usage, 3 specification or name not allowed, 4 scan incomplete
(resume finishes it), 5 verification failed, 6 the machine cannot do it, 75 stopped by request with
everything saved, 130 interrupted."""


class Verb(click.Command):
    """A command whose help ends in an example."""

    def __init__(self, name: str, *, example: str, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", dict(CONTEXT))
        super().__init__(name, **kwargs)
        self.example = example
        self.params.append(_traceback_option())

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it is, without wrapping."""
        _write_example(formatter, self.example)
        super().format_epilog(ctx, formatter)


class Verbs(click.Group):
    """A group of verbs; a misspelt one is answered with the closest."""

    def __init__(self, name: str, *, example: str, **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", dict(CONTEXT))
        kwargs.setdefault("subcommand_metavar", "VERB [OPTIONS]...")
        super().__init__(name, invoke_without_command=True, callback=_help_if_bare, **kwargs)
        self.example = example
        self.params.append(_traceback_option())

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the verb that the first argument names."""
        name = args[0]
        if name.startswith("-") or self.get_command(ctx, name) is not None:
            return super().resolve_command(ctx, args)
        known = self.list_commands(ctx)
        close = get_close_matches(name, known, n=1)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise click.UsageError(f"unknown verb {name!r}{hint} Known: {', '.join(known)}.", ctx)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it is, without wrapping."""
        _write_example(formatter, self.example)
        super().format_epilog(ctx, formatter)


class Application(Verbs):
    """All verbs, in sections; turns what goes wrong into a sentence and an exit code.

    Parameters
    ----------
    sections
        The verbs by heading, in the order of the help.
    """

    def __init__(
        self, name: str, *, sections: Mapping[str, Sequence[click.Command]], **kwargs: Any
    ) -> None:
        super().__init__(name, **kwargs)
        self.sections = {heading: tuple(verbs) for heading, verbs in sections.items()}
        for verbs in self.sections.values():
            for verb in verbs:
                self.add_command(verb)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of the verbs in the order of the help."""
        return [str(verb.name) for verbs in self.sections.values() for verb in verbs]

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click's signature
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the verbs under their headings."""
        width = max(len(str(verb.name)) for verbs in self.sections.values() for verb in verbs)
        for heading, verbs in self.sections.items():
            with formatter.section(heading):
                formatter.write_dl(
                    [(f"{verb.name:<{width}}", verb.get_short_help_str(100)) for verb in verbs]
                )

    def main(  # type: ignore[override]
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line; in standalone mode (the default) it ends the process."""
        if not standalone_mode:
            return super().main(args, prog_name, standalone_mode=False, **extra)
        full = TRACEBACK in (sys.argv[1:] if args is None else args)
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                code = super().main(args, prog_name, standalone_mode=False, **extra)
        except (Exception, KeyboardInterrupt) as error:
            sys.exit(_report(error, full=full))
        sys.exit(code if isinstance(code, int) else 0)


def _report(error: BaseException, *, full: bool) -> int:
    """Write what went wrong to stderr, and return the exit code."""
    if full:
        click.echo("".join(traceback.format_exception(error)).rstrip(), err=True)
    if isinstance(error, click.Abort | KeyboardInterrupt):
        click.echo("lmltgrid: interrupted", err=True)
        return EXIT_INTERRUPTED
    if isinstance(error, click.ClickException):
        click.echo(f"lmltgrid: {_usage_sentence(error)}", err=True)
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(f"Try '{error.ctx.command_path} --help'.", err=True)
        return error.exit_code
    if isinstance(error, LmltgridError):
        click.echo(f"lmltgrid: {error}", err=True)
        return error.exit_code
    hint = "" if full else f"; {TRACEBACK} shows where"
    click.echo(f"lmltgrid: {type(error).__name__}: {_one_line(error)}{hint}", err=True)
    # an OSError or a lack of memory is the machine's, whoever met it
    return MachineError.exit_code if isinstance(error, OSError | MemoryError) else EXIT_INTERNAL


def _usage_sentence(error: click.ClickException) -> str:
    """Return click's message; for a bad value, after the name of its option."""
    if isinstance(error, click.BadParameter) and not isinstance(error, click.MissingParameter):
        name = error.param.opts[0] if error.param is not None else error.param_hint
        return f"{name}: {error.message}"
    return _one_line(error.format_message())


def _one_line(error: object) -> str:
    return " ".join(str(error).split()) or "no message"


def _show_warning(
    message: Warning | str,
    category: type[Warning],  # noqa: ARG001 - the signature of warnings.showwarning
    filename: str,  # noqa: ARG001
    lineno: int,  # noqa: ARG001
    file: TextIO | None = None,  # noqa: ARG001
    line: str | None = None,  # noqa: ARG001
) -> None:
    click.echo(f"lmltgrid: warning: {_one_line(message)}", err=True)


def _traceback_option() -> click.Option:
    return click.Option(
        [TRACEBACK],
        is_flag=True,
        expose_value=False,
        help="Show where in the program an error arose.",
    )


@click.pass_context
def _help_if_bare(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(click.UsageError.exit_code)


def _write_example(formatter: click.HelpFormatter, example: str) -> None:
    with formatter.section("Example"):
        for line in example.splitlines():
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
