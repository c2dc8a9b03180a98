"""What may name a run."""

from cryoloom.engine.folder import RUN_ID
from cryoloom.engine.project import ProjectFolder
from cryoloom.spec import WrongUse

LONGEST = 100


def check_label(label: str) -> None:
    """Raise `WrongUse` when `label` could be mistaken for something else."""
    if RUN_ID.fullmatch(label) or label != label.strip() or not label.isprintable() or "/" in label or len(label) > LONGEST:
        raise WrongUse("bad-label", f"{label!r} cannot name a run.", f"Use up to {LONGEST} letters, digits, spaces, - or _, not like r001.")


def label_of(text: str) -> str:
    """Return `text` as it may name a run."""
    label = " ".join("".join(letter if letter.isprintable() and letter != "/" else " " for letter in text).split())[:LONGEST].strip()
    return "" if RUN_ID.fullmatch(label) else label


def free_label(project: ProjectFolder, label: str) -> str:
    """Return a label like this one that no run bears: with the next free number."""
    taken = {name for run in project.runs() for name in run.labels()}
    stem, dash, number = label.rpartition("-")
    stem, first = (stem, int(number)) if dash and number.isdigit() else (label, 1)
    return next(name for count in range(first + 1, first + 2 + len(taken)) if (name := f"{stem}-{count}") not in taken)
