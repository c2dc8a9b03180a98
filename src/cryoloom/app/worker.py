"""The run process: ``python -m cryoloom.app.worker RUN_FOLDER``.

Imports nothing at the top: worker processes of a map load this module again.
"""


def main(folder: str) -> int:
    """Carry out one attempt of the run in `folder`."""
    from pathlib import Path

    import cryoloom.data  # noqa: F401 (registers the kinds of sets)
    from cryoloom.app.catalogue import protocol
    from cryoloom.engine.execution import execute
    from cryoloom.engine.folder import RunFolder

    return execute(RunFolder(Path(folder)), protocol)


if __name__ == "__main__":
    import sys

    sys.exit(main(sys.argv[1]))
