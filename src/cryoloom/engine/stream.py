"""Runs whose input is still being made: what has come is worked on in rounds, until nothing more can come.

A round is the whole protocol over what is there. Items of earlier rounds are kept as long as their content is the same, so a round costs
what is new; and since every round does all that is not an item anew, a run that followed a session gives what one started afterwards gives.
After a round the outputs so far are laid open (``open.json`` and the tables beside it) for the runs below. The last round, over inputs that
have ended, is no longer this file's: it is the run as any other.
"""

import logging
import math
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from cryoloom import files
from cryoloom.engine.events import Journal
from cryoloom.engine.folder import RunFolder
from cryoloom.engine.inputs import UNFINISHED, Find, in_memory, laid_open, open_inputs, stamps_of
from cryoloom.engine.job import RunJob
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.reuse import Reuse
from cryoloom.engine.state import ACTIVE
from cryoloom.spec.errors import CryoloomError
from cryoloom.spec.protocol import SOURCE, Outputs, Protocol
from cryoloom.tables import Dataset

if TYPE_CHECKING:
    from cryoloom.engine.nodes import Nodes

LOG = logging.getLogger("cryoloom.stream")
PAUSE = 1.0
"""Seconds between two looks for something new."""
ROUND = 20.0
"""Seconds that a round should take, so that the runs below have something to do; more is started with every round that took less."""
KEPT = 3
"""Rounds laid open that stay; a reader of the last but one may not have finished."""


class Stream:
    """The rounds of one attempt of a run.

    Parameters
    ----------
    run, find
        The run, and what returns the protocol of an id.
    journal, threads, nodes
        As the attempt has them.

    Attributes
    ----------
    checked
        Parts whose content is known to be that of their item, with the item's key.
    """

    def __init__(self, run: RunFolder, find: Find, journal: Journal, threads: int, nodes: "Nodes | None" = None) -> None:
        self.run, self.find, self.journal, self.threads, self.nodes = run, find, journal, threads, nodes
        self.protocol = find(run.record["protocol"])
        # What lies outside the project has no content that could be compared.
        self.reuse = None if self.protocol.streams == SOURCE else Reuse(run)
        self.checked: dict[Path, str] = {}
        self._number = (laid_open(run.path) or {"round": 0})["round"]
        self._taken: set[int] = set()
        self._batch = 2 * threads
        self._told = self._amiss = ""

    def follow(self) -> None:
        """Work on what there is and comes, round by round; return when everything has come and the last round is due.

        Raises
        ------
        Failure
            ``input-missing``: a run that makes an input has ended without it.
        """
        news, seen = time.monotonic(), None
        inputs, stamps, fresh, protocol = {}, {}, [], None
        while True:
            quiet = math.inf if self.run.closing() else time.monotonic() - news
            if changed := stamps_of(self.run) != stamps:
                inputs, stamps = open_inputs(self.run, self.find, unfinished=True)
            if changed or fresh or protocol is None:
                fresh = self._fresh(inputs)
                protocol = self._built(inputs, fresh[: self._batch])
            coming = any(stamp.startswith(UNFINISHED) for each in stamps.values() for stamp in each)
            expecting = protocol is not None and protocol.expects_more(quiet)
            if not coming and not expecting and (not fresh or not self._watched()):
                return
            now = (stamps, protocol.fingerprint()) if protocol else None
            if protocol is None or (not fresh and now == seen):
                self._tell()
                time.sleep(PAUSE)
                continue
            began = time.monotonic()
            if self._round(protocol):
                news = time.monotonic()
            self._taken.update(fresh[: self._batch])
            self._adapt(time.monotonic() - began, len(fresh))
            seen = now

    def _adapt(self, seconds: float, fresh: int) -> None:
        if fresh >= self._batch:
            factor = min(max(ROUND / max(seconds, 0.1), 0.5), 2.0)
            self._batch = max(self.threads, int(self._batch * factor))

    def _watched(self) -> bool:
        """Return whether a run below works along; if not, there is no need of rounds once the inputs have ended."""
        takers = ProjectFolder(self.run.root).takers(self.run.id)
        return any(taker.record.get("streams") and taker.is_state(*ACTIVE) for taker in takers)

    def _fresh(self, inputs: Mapping[str, Any]) -> list[int]:
        given = inputs.get(self.protocol.streams)
        return [] if given is None else given.items.filter(~pl.col("id").is_in(self._taken))["id"].to_list()

    def _built(self, inputs: dict[str, Any], fresh: list[int]) -> Protocol | None:
        """Return the protocol over the rows taken so far and some fresh ones; None while an input has no rows yet."""
        if name := self.protocol.streams if self.protocol.streams in inputs else "":
            rows = self._taken.union(fresh)
            inputs = {**inputs, name: in_memory(inputs[name].select(pl.Series(sorted(rows), dtype=pl.Int64)))}
        empty = any(isinstance(given, Dataset) and not len(given) for given in inputs.values())
        return None if empty else self.protocol(**self.run.record["parameters"], **inputs)

    def _round(self, protocol: Protocol) -> bool:
        """Do one round; return whether its outputs differ from the last one's. What goes wrong may come right with more input."""
        job = RunJob(
            self.run.path, self.run.root, seed=self.run.record["seed"], threads=self.threads, journal=self.journal, nodes=self.nodes,
            reuse=self.reuse, checked=self.checked, open=True,
        )  # fmt: skip
        self._told = self._amiss = ""
        try:
            outputs = protocol.run(job)
        except CryoloomError as error:
            self._amiss = error.message
            return False
        return self._lay_open(outputs)

    def _tell(self) -> None:
        """Say, once between two rounds, what is waited for, and what was amiss with what has come."""
        above = ", ".join(dict.fromkeys(reference["run"] for reference in self.run.references()))
        message = f"waiting for new items of {above}" if above else "waiting for new files"
        message += f"; of those so far: {self._amiss}" if self._amiss else ""
        if message != self._told:
            self.journal.write("waiting", message=message)
            LOG.info(message)
            self._told = message

    def _lay_open(self, outputs: Outputs) -> bool:
        last = laid_open(self.run.path)
        folder = self.run.path / "open" / f"{self._number + 1:06d}"
        folder.mkdir(parents=True, exist_ok=True)
        manifests = {name: in_memory(dataset).save(folder, name) for name, dataset in outputs.named().items()}
        hashes = {name: _content(manifest) for name, manifest in manifests.items()}
        if last and last["content"] == hashes:
            shutil.rmtree(folder, ignore_errors=True)
            return False
        self._number += 1
        files.write_json(self.run.path / "open.json", {"round": self._number, "outputs": manifests, "content": hashes})
        for old in sorted(folder.parent.iterdir())[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
        return True


def clear(run: RunFolder) -> None:
    """Remove what was laid open by a run that has finished."""
    (run.path / "open.json").unlink(missing_ok=True)
    shutil.rmtree(run.path / "open", ignore_errors=True)


def _content(manifest: Mapping[str, Any]) -> list[Any]:
    """Return what tells a table of one round from that of another: where it lies does not."""
    return [manifest["count"], manifest["optics"], manifest["meta"], [file["blake3"] for file in manifest["table"]["base"]]]
