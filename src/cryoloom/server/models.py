"""What the server answers, as types: the front end's own are made from these."""

from typing import Any

from pydantic import BaseModel


class Problem(BaseModel):
    """What went wrong, and what to do about it."""

    code: str
    message: str
    cure: str = ""


class Refusal(BaseModel):
    """The answer to what cannot be done."""

    error: Problem


class ProjectBrief(BaseModel):
    """A line of the list of projects."""

    folder: str
    name: str
    runs: int
    states: dict[str, int]
    changed: float


class Link(BaseModel):
    """One set that an input takes."""

    name: str
    run: str
    output: str


class Chip(BaseModel):
    """An output, as a box on the canvas shows it; no count before it is there; the resolution (Å) of a map that tells one."""

    name: str
    kind: str
    count: int | None
    resolution: float | None = None


class Progress(BaseModel):
    """How far a run is."""

    name: str
    done: float
    total: float | None = None
    unit: str = ""
    message: str | None = ""
    remaining: float | None = None


class RunNode(BaseModel):
    """A box on the canvas."""

    run: str
    protocol: str
    label: str
    tags: list[str]
    state: str
    reason: str
    failed_items: dict[str, int]
    progress: Progress | None
    created: float
    inputs: list[Link]
    outputs: list[Chip]
    watches: bool


class Graph(BaseModel):
    """All boxes, where they stand (column, row), and the number of the last change among them."""

    number: int
    nodes: list[RunNode]
    places: dict[str, tuple[float, float]]


class OutputHead(BaseModel):
    """An output of a finished run."""

    kind: str
    count: int
    hash: str


class Note(BaseModel):
    """What somebody wrote down, in Markdown."""

    t: float
    text: str


class RunDetail(BaseModel):
    """Everything about a run but its pictures."""

    run: str
    protocol: str
    version: int
    label: str
    labels: list[str]
    tags: list[str]
    notes: list[Note]
    state: str
    reason: str
    created: float
    why: str
    seed: int
    parameters: dict[str, Any]
    inputs: dict[str, Any]
    outputs: dict[str, OutputHead]
    summary: dict[str, Any]
    warnings: list[str]
    failed_items: dict[str, int]
    spent: dict[str, float]
    progress: Progress | None
    watches: bool
    title: str
    problem: Problem | None
    dependents: list[str]


class CatalogueEntry(BaseModel):
    """A protocol, or what should have been one (`error` says why it is not)."""

    id: str
    step: str
    title: str
    words: str
    error: str


class Panel(BaseModel):
    """A picture of a report, drawn: `html` is the server's own, with everything foreign in it escaped."""

    kind: str
    title: str
    caption: str
    html: str


class Column(BaseModel):
    """A column of a table."""

    name: str
    type: str
    unit: str
    meaning: str


class Page(BaseModel):
    """Some rows of a set: `of` in the set, `count` that follow the rule; `marked`: whether each follows another one that was asked about."""

    output: str
    of: int
    count: int
    offset: int
    columns: list[Column]
    rows: list[list[Any]]
    marked: list[bool] | None = None


class Bins(BaseModel):
    """A column of numbers, counted in bins: of all rows, and of those that follow the rule (`kept`)."""

    column: Column
    edges: list[float]
    counts: list[int]
    kept: list[int]
    empty: int
    empty_kept: int


class Histograms(BaseModel):
    """Histograms of some columns, linked by a rule: `of` rows in the set, `count` that follow it."""

    output: str
    of: int
    count: int
    columns: list[Bins]


class Points(BaseModel):
    """Two columns against each other, thinned out: each point stands for `weight` rows, `id` is one of them."""

    output: str
    of: int
    count: int
    empty: int
    x: Column
    y: Column
    id: list[int]
    xs: list[float]
    ys: list[float]
    weight: list[int]


class Curve(BaseModel):
    """A Fourier shell correlation: a value a shell, and by threshold the resolution in Å at which it falls below."""

    name: str
    title: str
    values: list[float | None]
    crossings: dict[str, float | None]


class Curves(BaseModel):
    """Fourier shell correlations over `frequency` (1/Å); `resolution`: what the run says of its map, Å."""

    output: str
    frequency: list[float]
    resolution: float | None
    curves: list[Curve]


class SubsetOffer(BaseModel):
    """A subset that can be made of selected rows: `kind` of set, and how many rows it would have; `then`: a protocol to go on with."""

    id: str
    title: str
    kind: str
    count: int | None
    then: str = ""
    problem: str = ""


class SelectionCheck(BaseModel):
    """How many rows a selection has, `by_hand` if ids are listed, and what can be made of it."""

    of: int
    count: int
    by_hand: bool
    offers: list[SubsetOffer]


class SubsetMade(BaseModel):
    """The run that makes a subset, what it will give, and a form to go on with."""

    run: str
    output: str
    then: str = ""
    input: str = ""


class FieldProblem(BaseModel):
    """What is wrong with a field of a form, or advised; an empty field means the whole form.

    `fix` is a value that would do (an empty text: to leave it empty; null: none is known), `missing` says that it only has to be filled still.
    """

    field: str
    message: str
    cure: str = ""
    fix: Any = None
    missing: bool = False


class FormCheck(BaseModel):
    """What a form with these values would do: errors keep it from running, advice does not.

    `same` is the run that has done the work, `automatic` what empty fields stand for.
    """

    errors: list[FieldProblem]
    advice: list[FieldProblem]
    why: str = ""
    same: str = ""
    preview: dict[str, Any] = {}
    automatic: dict[str, Any] = {}


class Offer(BaseModel):
    """An output that an input takes; `aside` if its maps are not density, such as those of local resolution: nobody's first choice."""

    output: str
    label: str
    kind: str
    state: str
    count: int | None
    aside: bool


class Logged(BaseModel):
    """A piece of what a run printed, from a byte on."""

    text: str
    offset: int
    size: int


class PickingEstimates(BaseModel):
    """How well the model of a picking does, by cross-validation, and how many particles it was shown."""

    precision: float
    recall: float
    particles: int


class PickedMicrograph(BaseModel):
    """A micrograph of a picking: its size in px, picks by hand and of the model, how far it has come; `weighted`: its picture is dose-weighted."""

    id: int
    name: str
    width: int
    height: int
    pixel_size: float
    weighted: bool
    manual: int
    auto: int
    state: str


class Picking(BaseModel):
    """A picking as a whole: `output` has its micrographs, `learning` is true while a model learns or picks."""

    revision: int
    output: str
    diameter: float
    least: float
    trained: bool
    estimates: PickingEstimates | None
    can_undo: bool
    can_redo: bool
    learning: bool
    count: int
    next: int | None
    micrographs: list[PickedMicrograph]


class PickingRevision(BaseModel):
    """Whether anything has changed."""

    revision: int
    learning: bool


class Picks(BaseModel):
    """The picks of a micrograph: number, x, y (px) and the model's score, null for those by hand; `region` is picked in whole."""

    revision: int
    micrograph: int
    picks: list[tuple[int, float, float, float | None]]
    region: tuple[float, float, float, float] | None
    state: str


class Picked(BaseModel):
    """What an edit has done: numbers of new picks, the micrograph that is another now."""

    revision: int
    numbers: list[int] = []
    micrograph: int | None = None
    can_undo: bool
    can_redo: bool
    estimates: PickingEstimates | None


class MicrographList(BaseModel):
    """The micrographs that an output is of, column by column; `scores` tells how many picks have at least each of the scores `at`."""

    output: str
    micrographs: str
    columns: dict[str, list[Any]]
    units: dict[str, str]
    scores: dict[str, list[float]] | None


class MicrographPicks(BaseModel):
    """Places on a micrograph in its px, their scores, and their diameter in px."""

    x: list[float]
    y: list[float]
    score: list[float | None]
    diameter: float | None


class Made(BaseModel):
    """A run that was asked for; `reused`: the same work had been done."""

    run: str
    state: str
    reused: bool = False


class Session(BaseModel):
    """Who looks at the page: a viewer changes nothing."""

    role: str
    version: str
    folder: str


class Orientations(BaseModel):
    """Views of particles, counted in cells of equal area: rings from the north pole on, in each of them cells by rot from 0.

    `why` says why there are none, where there are none.
    """

    why: str = ""
    rings: list[int] = []
    counts: list[int] = []
    side: float = 0.0
    particles: int = 0
    symmetry: str = ""
    spread: str = ""
    coverage: float = 0.0
    parts: dict[str, list[int]] = {}
    volume: str | None = None


class MapRow(BaseModel):
    """A row of a set of maps: which it has."""

    id: int
    which: list[str]
    class_id: int | None = None


class Companion(BaseModel):
    """An output with maps on the grid of another."""

    output: str
    label: str
    kind: str
    maps: list[MapRow]


class NamedOutput(BaseModel):
    """An output, and what its run is called."""

    output: str
    label: str


class Deleted(BaseModel):
    """A run in the trash."""

    run: str
    protocol: str
    label: str
    bytes: int


class RoomOfRun(BaseModel):
    """The bytes of a run's files by what they are for."""

    run: str
    protocol: str
    label: str
    record: int
    final: int
    diagnostic: int
    intermediate: int


class Cleaned(BaseModel):
    """What a cleaning removed or would remove: bytes and files by run; and, by run, those that rest on what would go."""

    bytes: int
    files: dict[str, int]
    needed: dict[str, list[str]]


class Brought(BaseModel):
    """What a workflow became: its node with the run made for it, and what to look at."""

    runs: dict[str, str]
    messages: list[str]


class MethodsText(BaseModel):
    """The methods section of a paper, and its references."""

    text: str
    bibtex: str


class Taker(BaseModel):
    """A protocol that takes an output of a run, the input that does, and the kinds among the run's that it takes."""

    protocol: str
    step: str
    input: str
    kinds: list[str]
