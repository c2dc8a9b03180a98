"""External programs of a run: logged line by line, ended with the run, not run again once they have succeeded."""

import logging
import os
import shlex
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from blake3 import blake3

from cryoloom import files
from cryoloom.engine.events import Journal
from cryoloom.engine.processes import die_with_parent
from cryoloom.spec.errors import Failure

LOG = logging.getLogger("cryoloom.program")
LAST_LINES = 15
"""Lines of output quoted when a program fails."""


def run_program(
    run: Path, command: Sequence[str], name: str, environment: Mapping[str, str] | None = None, *, journal: Journal | None = None
) -> Path:
    """Run `command` in ``<run>/<name>`` and return that folder; see `Job.run_program`.

    What it prints goes to the run's log. A program that has succeeded leaves a record, and a resumed run does not start it again.

    Raises
    ------
    Failure
        ``program-missing``, or ``program-failed`` with its last lines.
    """
    folder = run / name
    record = run / "parts" / f"{name}.program.json"
    asked = {"command": list(command), "environment": dict(environment or {})}
    if files.read_json(record) == asked:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    program = shutil.which(command[0], path=(environment or {}).get("PATH", os.environ.get("PATH")))
    if program is None:
        raise Failure("program-missing", f"The program {command[0]} was not found in PATH.", "Install it, or add its folder to PATH.")
    LOG.info("%s: %s", name, shlex.join(command))
    if journal is not None:  # what it is, whatever it says of its version
        journal.write("program", name=name, program=program, blake3=blake3(max_threads=1).update_mmap(program).hexdigest())
    process = subprocess.Popen(
        [program, *command[1:]],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=die_with_parent,  # noqa: PLW1509 (one system call)
    )
    tail: deque[str] = deque(maxlen=LAST_LINES)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            sys.stdout.buffer.write(line)
            sys.stdout.buffer.flush()
            tail.append(line.decode(errors="replace").rstrip())
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if code != 0:
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        last = "\n".join(tail) or "(it printed nothing)"
        raise Failure("program-failed", f"{command[0]} {how}. Its last lines:\n{last}\n", f"The command was: {shlex.join(command)}")
    files.write_json(record, asked)
    return folder
