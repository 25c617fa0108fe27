#!/usr/bin/env bash
# One scan from the login node: the client submits jobs, each of which is a worker.
#
#     tmux new -s scan                   # or screen: the client must live as long as the scan
#     ./login-node.sh scan.toml scan.zarr
#
# Should the login node end it, or the connection break, call it again: it goes on where it was.
set -euo pipefail

site=site.toml
workers=20
spec=$1
store=$2

lmltgrid doctor "$(dirname "$store")" --cluster "$site" # installation, folder, batch system
lmltgrid run "$spec" --dry-run                          # points, bytes, memory, core hours

# The client waits most of the time; 'nice' leaves the login node to those who type on it.
exec nice lmltgrid run "$spec" --store "$store" --cluster "$site" --workers "$workers"
