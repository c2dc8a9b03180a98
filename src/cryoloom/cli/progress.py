"""What the terminal shows while a run works: a bar with ETA where there is a terminal, a line now and then where there is none."""

import sys
import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cryoloom.engine.events import Pace, how_far

QUIET_SECONDS = 15.0


class ProgressView:
    """Receives the events of runs; use as a context manager. Writes to stderr, so stdout stays for results."""

    def __init__(self, *, silent: bool = False) -> None:
        console = Console(stderr=True)
        self._silent = silent
        self._bars = (
            Progress(
                SpinnerColumn(),
                TextColumn("{task.description}"),
                BarColumn(bar_width=30),
                TextColumn("{task.fields[count]}"),
                TimeElapsedColumn(),
                TextColumn("ETA"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[message]}", style="dim"),
                console=console,
                transient=True,
            )
            if console.is_terminal and not silent
            else None
        )
        self._task: dict[tuple[str, str], Any] = {}
        self._pace: dict[tuple[str, str], Pace] = {}
        self._said = time.monotonic()

    def __enter__(self) -> "ProgressView":
        if self._bars:
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, run: Any, event: dict[str, Any]) -> None:
        """Show one event."""
        if self._silent:
            return
        if event.get("kind") == "warning":
            self.say(f"  {run.label or run.id}: {event['message']}")
        elif event.get("kind") == "progress":
            self._progress(run, event)

    def say(self, text: str) -> None:
        """Print a line beside the bars."""
        if self._silent:
            return
        if self._bars:
            self._bars.console.print(text, highlight=False, markup=False)
        else:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()

    def finish(self, run: Any) -> None:
        """Take the bars of a finished run away."""
        for key in [key for key in self._task if key[0] == run.id]:
            if self._bars:
                self._bars.remove_task(self._task.pop(key))

    def _progress(self, run: Any, event: dict[str, Any]) -> None:
        key = (run.id, str(event.get("name") or ""))
        done, total, message, count = event["done"], event.get("total"), event.get("message") or "", how_far(event)
        remaining = self._pace.setdefault(key, Pace()).remaining(event)
        if self._bars:
            if key not in self._task:
                self._task[key] = self._bars.add_task(run.label or run.id, total=total, count="", message="")
            self._bars.update(self._task[key], completed=done, total=total, count=count, message=message)
        elif time.monotonic() - self._said > QUIET_SECONDS:
            self._said = time.monotonic()
            left = "" if remaining is None else f", ETA {remaining:.0f} s"
            self.say(f"  {run.label or run.id}: {count} {message}".rstrip() + left)
