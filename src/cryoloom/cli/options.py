"""Options that many commands share."""

from typing import Annotated

import typer

Threads = Annotated[int, typer.Option("--threads", min=0, help="Processor cores to use; 0: all that this process may use.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object on the last line.")]
ProjectFolder = Annotated[str, typer.Argument(metavar="PROJECT", help="The project's folder.")]
