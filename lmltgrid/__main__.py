"""``python -m lmltgrid`` is the command line."""

from lmltgrid.cli import main

if __name__ == "__main__":
    main(prog_name="lmltgrid")
