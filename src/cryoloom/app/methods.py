"""The methods section of a paper, from what a project's runs did: their real parameters and figures, and the papers behind each step."""

from collections.abc import Iterable
from dataclasses import dataclass

from cryoloom.app import catalogue, references
from cryoloom.app.outputs import OutputRef
from cryoloom.app.runs import Run, all_runs, looked_back
from cryoloom.data.literature import Paper, paper
from cryoloom.engine.project import ProjectFolder
from cryoloom.engine.provenance import ancestry
from cryoloom.engine.state import State
from cryoloom.spec import CryoloomError, WrongUse


@dataclass(frozen=True)
class Methods:
    """A methods section.

    Attributes
    ----------
    text
        Prose, a sentence or two a step, in the order of the work, papers cited by author and year.
    papers
        Those cited, by their first mention.
    """

    text: str
    papers: tuple[Paper, ...]

    @property
    def page(self) -> str:
        """Return text and list of references."""
        listed = "\n".join(each.reference for each in sorted(self.papers, key=lambda each: each.key))
        return f"{self.text}\n\nReferences\n\n{listed}" if listed else self.text

    @property
    def bibtex(self) -> str:
        """Return the BibTeX entries of the papers."""
        return "\n\n".join(each.bibtex for each in sorted(self.papers, key=lambda each: each.key))


def methods(project: ProjectFolder, output: "str | OutputRef | None" = None) -> Methods:
    """Return the methods section of all that an output rests on; without one, of the run that was finished last.

    Raises
    ------
    WrongUse
        ``nothing-finished``, or as `Project.output`.
    """
    steps = [Run(folder) for folder in ancestry(project, _last(project, output).id)]
    cited: dict[str, Paper] = {}
    sentences = [_cited(sentence_of(run), _papers(run), cited) for run in steps if run.state is State.FINISHED]
    told = " ".join(dict.fromkeys(sentence for sentence in sentences if sentence))
    programs = sorted({run.folder.record["cryoloom"] for run in steps})
    seeds = sorted({run.seed for run in steps})
    made = f"Images were processed with cryoloom {', '.join(programs)} (random seed {', '.join(map(str, seeds))})."
    return Methods(f"{made} {told}".strip(), tuple(cited.values()))


def _last(project: ProjectFolder, output: "str | OutputRef | None") -> Run:
    if isinstance(output, OutputRef):
        return output.run
    if output:
        return (
            references.find_run(project, output) if references.names_run(project, output) else references.find_output(project, output).run
        )
    finished = [run for run in all_runs(project) if run.state is State.FINISHED]
    if not finished:
        raise WrongUse("nothing-finished", f"Nothing has finished in {project.path}.", "Run something first.")
    return finished[-1]


def sentence_of(run: Run) -> str:
    """Return what a paper says of a run; of a protocol that says nothing, what differs from its defaults and its numbers."""
    try:
        built, made = looked_back(run)
    except CryoloomError as error:
        return f"({run.id}, {run.protocol}, cannot be told: {error.message})"
    told = built.methods(made)
    if told:
        return " ".join(told.split())
    defaults = {name: field.default for name, field in built.parameters().items()}
    changed = [f"{name} {value}" for name, value in run.parameters.items() if value != defaults[name] and (value or defaults[name])]
    given = f" with {', '.join(changed)}" if changed else ""
    numbers = ", ".join(f"{label} {value}" for label, value in run.summary.items())
    return f"{built.id} was run{given}{f': {numbers}' if numbers else ''}."


def _papers(run: Run) -> Iterable[Paper]:
    try:
        return [paper(doi) for doi in catalogue.protocol(run.protocol).cite]
    except CryoloomError:
        return []


def _cited(text: str, papers: Iterable[Paper], cited: dict[str, Paper]) -> str:
    """Return the text with its papers named at the end of the first sentence."""
    papers = list(papers)
    cited.update({each.key: each for each in papers if each.key not in cited})
    if not papers or not text:
        return text
    first, dot, rest = text.partition(". ")
    names = "; ".join(each.citation for each in papers)
    return f"{first.rstrip('.')} ({names}).{' ' + rest if dot else ''}"
