"""Options that many commands share."""

from typing import Annotated

import typer

Threads = Annotated[int, typer.Option("--threads", min=0, help="Processor cores to use; 0: all that this process may use.")]
Target = Annotated[
    str, typer.Option("--target", help="Where it runs: local, or slurm (a job of the cluster; see `cryoloom cluster`).", show_default=False)
]
Nodes = Annotated[
    int, typer.Option("--nodes", min=0, help="Nodes of the cluster that work for a run, with --threads each; 0: one, or as before.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]
ProjectFolder = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's folder.")]
