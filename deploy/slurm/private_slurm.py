#!/usr/bin/env python3
"""Start, stop and look at a private Slurm of one node, in a folder of its own.

    python deploy/slurm/private_slurm.py start /tmp/slurm    # then: export SLURM_CONF=...
    python deploy/slurm/private_slurm.py status /tmp/slurm
    python deploy/slurm/private_slurm.py stop /tmp/slurm

For trying job scripts without a cluster, and for the tests. It needs Debian's packages slurmctld,
slurmd, slurm-client and munge, and nothing else of the system: no service, no root, no cgroup.
Several can run side by side; each has its own key, ports, state and logs. Jobs run as the user who
started it.
"""

from __future__ import annotations

import argparse
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PACKAGES = "slurmctld slurmd slurm-client munge"
DAEMONS = ("munged", "slurmctld", "slurmd")  # in the order of their start
CLIENTS = ("sbatch", "scancel", "scontrol", "sinfo", "squeue")
# A socket's path has up to 107 characters, and those of jobs have these names in the folder.
LONGEST = 107 - len("/spool/node_4294967295.4294967295")
TAIL = 12  # lines of a log that a complaint shows
START = 60.0  # s until a daemon answers, or the node is idle
END = 10.0  # s until jobs or a daemon are gone after a polite request

# Ports are chosen below those that the kernel gives to clients, which come and go.
PORTS = range(20000, 30000)

CONFIGURATION = """\
# A private Slurm of one node; written by private_slurm.py, and written again when it starts.
ClusterName=private
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}

AuthType=auth/munge
CredType=cred/munge
# A job that was requeued waits until its old credential has expired, by default 2 minutes.
AuthInfo=socket={folder}/munge.socket,cred_expire=5

StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.own.pid
SlurmdPidFile={folder}/slurmd.own.pid
SlurmdLogFile={folder}/slurmstepd.log
MailProg=/bin/true

# Neither cgroups nor accounting: they need more than a container gives.
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
PropagateResourceLimits=NONE
ReturnToService=2

# Jobs start within a second or two, and end soon after their walltime.
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1
OverTimeLimit=0
KillWait=2
# Jobs that have ended are told of for an hour.
MinJobAge=3600

SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
# The node offers what is written here, whatever the machine has.
SlurmdParameters=config_overrides
NodeName=node NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} CoresPerSocket={cpus} \\
    RealMemory={memory}
PartitionName=main Nodes=node Default=YES MaxTime=UNLIMITED DefMemPerCPU={memory_per_cpu}
"""


class SlurmError(Exception):
    """What went wrong, in one sentence, with the end of a log where there is one."""


def main(arguments: list[str] | None = None) -> int:
    """Return the exit code: 0 done; 1 it could not be done, or, for status, nothing runs."""
    parser = argparse.ArgumentParser(
        description="A private Slurm of one node, in a folder of its own."
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="start|stop|status")
    start_verb = verbs.add_parser("start", help="start it, and wait until its node takes jobs")
    start_verb.add_argument("--cpus", type=int, default=4, help="that the node offers [4]")
    start_verb.add_argument("--memory", type=int, help="MB that the node offers [all there is]")
    verbs.add_parser("stop", help="cancel its jobs and end its processes")
    verbs.add_parser("status", help="say whether it runs; exit code 1 if not")
    for verb in verbs.choices.values():
        verb.add_argument("folder", type=Path, help="where its files are")
    asked = parser.parse_args(arguments)
    folder = asked.folder.expanduser().resolve()
    try:
        if asked.verb == "start":
            start(folder, asked.cpus, asked.memory)
            say(f"a private Slurm with {asked.cpus} CPUs runs in {folder}; use it with")
            tell(f"export SLURM_CONF={folder / 'slurm.conf'}")
        elif asked.verb == "stop":
            ended = stop(folder)
            say(f"{folder}: " + (f"ended {', '.join(ended)}" if ended else "nothing ran here"))
        else:
            return show(folder)
    except SlurmError as error:
        say(str(error))
        return 1
    return 0


def say(sentence: str) -> None:
    """Write a line to stderr: stdout is for ``eval``."""
    sys.stderr.write(f"private_slurm: {sentence}\n")


def tell(line: str) -> None:
    """Write a line to stdout."""
    sys.stdout.write(f"{line}\n")


def start(folder: Path, cpus: int = 4, memory_mb: int | None = None) -> None:
    """Start munged, slurmctld and slurmd in ``folder``; wait until the node is idle."""
    programs = {name: find_program(name) for name in (*DAEMONS, *CLIENTS)}
    if cpus < 1 or (memory_mb is not None and memory_mb < 1):
        raise SlurmError("--cpus and --memory must be positive; correct them")
    prepare(folder)
    configure(folder, cpus, memory_mb or machine_memory_mb())
    conf = str(folder / "slurm.conf")
    munge = [programs["munged"], "--foreground", "--force", "--num-threads=2"]
    munge += [f"--key-file={folder / 'munge.key'}", f"--socket={folder / 'munge.socket'}"]
    munge += [f"--seed-file={folder / 'munge.seed'}", f"--pid-file={folder / 'munged.own.pid'}"]
    munge += [f"--log-file={folder / 'munged.log'}", "--origin=127.0.0.1"]
    try:
        with_socket = launch(folder, "munged", munge)
        wait(folder, with_socket, "munged", (folder / "munge.socket").exists)
        controller = launch(folder, "slurmctld", [programs["slurmctld"], "-D", "-c", "-f", conf])
        wait(folder, controller, "slurmctld", lambda: "UP" in ask(folder, "scontrol", "ping"))
        node = launch(folder, "slurmd", [programs["slurmd"], "-D", "-f", conf])
        wait(folder, node, "slurmd", lambda: ask(folder, "sinfo", "-h", "-o", "%T") == "idle")
    except BaseException:
        stop(folder)
        raise


def find_program(name: str) -> str:
    """Return the path of a program; daemons are seldom on a user's PATH."""
    path = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
    found = shutil.which(name, path=path)
    if found is None:
        raise SlurmError(f"{name} is not installed; on Debian: apt-get install {PACKAGES}")
    return found


def prepare(folder: Path) -> None:
    """Make ``folder`` ready: ours, nothing running, nothing left of an earlier start."""
    if len(str(folder)) > LONGEST:
        raise SlurmError(
            f"{folder}: too long for the sockets in it; choose at most {LONGEST} letters"
        )
    if " " in str(folder):
        raise SlurmError(f"{folder}: Slurm takes no path with a space; choose another folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / "slurm.conf").exists():
        raise SlurmError(f"{folder} holds other files; choose an empty or a new folder")
    if daemons(folder) or step_processes(folder):
        raise SlurmError(f"{folder}: a private Slurm runs here already; stop it first")
    for left in ("state", "spool"):
        shutil.rmtree(folder / left, ignore_errors=True)
    for left in ("*.pid", "*.log", "*.out", "munge.*"):
        for path in folder.glob(left):
            path.unlink()
    try:
        for new in (folder, folder / "state", folder / "spool"):
            new.mkdir(mode=0o755, parents=True, exist_ok=True)
        key = os.open(folder / "munge.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise SlurmError(f"{folder} cannot be written: {error.strerror}; choose another") from error
    with os.fdopen(key, "wb") as file:
        file.write(os.urandom(128))


def configure(folder: Path, cpus: int, memory_mb: int) -> None:
    """Write slurm.conf."""
    controller, node = free_ports(2)
    text = CONFIGURATION.format(
        host=socket.gethostname().split(".")[0],  # the daemons look for themselves by this name
        user=pwd.getpwuid(os.geteuid()).pw_name,
        folder=folder,
        controller=controller,
        node=node,
        cpus=cpus,
        memory=memory_mb,
        memory_per_cpu=max(1, memory_mb // cpus),
    )
    (folder / "slurm.conf").write_text(text)


def machine_memory_mb() -> int:
    """Return the memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on."""
    found: list[int] = []
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise SlurmError(f"no free port among {PORTS.start} to {PORTS.stop}; stop what uses them")


def launch(folder: Path, name: str, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a daemon that outlives us, and note its process id."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "SBATCH"))}
    with (folder / f"{name}.out").open("wb") as out:
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            env=clean,
            cwd=folder,
            start_new_session=True,
        )
    (folder / f"{name}.pid").write_text(f"{process.pid}\n")
    return process


def wait(
    folder: Path, process: subprocess.Popen[bytes], name: str, ready: Callable[[], bool]
) -> None:
    """Wait until a daemon is ready."""
    end = time.monotonic() + START
    while not ready():
        if process.poll() is not None:
            raise SlurmError(f"{name} ended with code {process.returncode}{tail(folder, name)}")
        if time.monotonic() > end:
            raise SlurmError(f"{name} was not ready within {START:g} s{tail(folder, name)}")
        time.sleep(0.1)


def ask(folder: Path, *command: str) -> str:
    """Return what a client program of this Slurm prints, or nothing."""
    environment = os.environ | {"SLURM_CONF": str(folder / "slurm.conf")}
    try:
        done = subprocess.run(  # noqa: S603
            command, env=environment, capture_output=True, text=True, timeout=END, check=False
        )
    except (subprocess.TimeoutExpired, FileNotFoundError):
        return ""
    return done.stdout.strip()


def tail(folder: Path, name: str) -> str:
    """Return the end of a daemon's log, for the end of a sentence."""
    for path in (folder / f"{name}.out", folder / f"{name}.log"):
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        if lines:
            return f"; the end of {path}:\n  " + "\n  ".join(lines[-TAIL:])
    return f"; it wrote no log into {folder}"


def daemons(folder: Path) -> dict[str, int]:
    """Return the daemons of ``folder`` that run, with their process ids.

    A process counts if its command names both the daemon and the folder: a process id may have
    been given to another since.
    """
    found = {}
    for name in DAEMONS:
        try:
            pid = int((folder / f"{name}.pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except (OSError, ValueError):
            continue
        program, *arguments = command.split("\0")
        if program.endswith(name) and any(f"{folder}/" in argument for argument in arguments):
            found[name] = pid
    return found


def step_processes(folder: Path) -> list[int]:
    """Return the processes of jobs: slurmstepd, which outlives slurmd, and what it started.

    Each slurmstepd is known by the sockets that it holds in our spool folder.
    """
    spool = str(folder / "spool")
    sockets = set()
    with suppress(OSError):
        for line in Path("/proc/net/unix").read_text().splitlines():
            fields = line.split()
            if len(fields) == 8 and fields[7].startswith(f"{spool}/"):
                sockets.add(f"socket:[{fields[6]}]")
    if not sockets:
        return []
    processes = parents()
    found = [pid for pid in processes if sockets & open_files(pid)]
    for pid in found:  # grows meanwhile
        found += [child for child, parent in processes.items() if parent == pid]
    return found


def parents() -> dict[int, int]:
    """Return all processes, and who started each."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdecimal():
            with suppress(OSError):
                fields = (path / "stat").read_text().rpartition(")")[2].split()
                found[int(path.name)] = int(fields[1])
    return found


def open_files(pid: int) -> set[str]:
    """Return what a process has open; nothing if it is not ours or gone."""
    found = set()
    with suppress(OSError):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            found.add(os.readlink(link))
    return found


def stop(folder: Path) -> list[str]:
    """Cancel the jobs, end the daemons; return the names of those that ran."""
    running = daemons(folder)
    if {"munged", "slurmctld", "slurmd"} <= running.keys():
        ask(folder, "scancel", "--user", pwd.getpwuid(os.geteuid()).pw_name)
        until(lambda: not ask(folder, "squeue", "-h"))
    end_processes(step_processes(folder), 2.0)  # of jobs that nobody could cancel
    for name in reversed(DAEMONS):
        if name in running:
            end_processes([running[name]])
        (folder / f"{name}.pid").unlink(missing_ok=True)
    return [name for name in reversed(DAEMONS) if name in running]


def end_processes(pids: list[int], patience: float = END) -> None:
    """Ask processes to end; kill those that do not within so many seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in filter(lives, pids):
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        if until(lambda: not any(map(lives, pids)), patience):
            return
    raise SlurmError(f"processes {pids} do not end; look at them with ps")


def lives(pid: int) -> bool:
    """Return whether a process exists and is more than a record of its end."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def until(condition: Callable[[], bool], patience: float = END) -> bool:
    """Wait some seconds for a condition; return whether it came true."""
    end = time.monotonic() + patience
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def show(folder: Path) -> int:
    """Say what runs; return 0 if all of it does."""
    running = daemons(folder)
    missing = [name for name in DAEMONS if name not in running]
    if missing:
        say(f"{folder}: {', '.join(missing)} not running" if running else f"nothing in {folder}")
        return 1
    node = ask(folder, "sinfo", "-h", "-o", "%T") or "does not answer"
    jobs = len(ask(folder, "squeue", "-h", "-r").splitlines())
    pids = ", ".join(f"{name} {pid}" for name, pid in running.items())
    say(f"{folder}: node {node}, {jobs} jobs; processes {pids}")
    tell(f"export SLURM_CONF={folder / 'slurm.conf'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
