"""The papers behind the methods, from ``references.bib``: protocols name them by DOI, texts cite them by author and year."""

import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files

_ENTRY = re.compile(r"^@\w+\{(\w+),\n.*?^\}", re.DOTALL | re.MULTILINE)
_FIELD = re.compile(r"^  (\w+) = \{(.*)\}", re.MULTILINE)


@dataclass(frozen=True)
class Paper:
    """One paper.

    Attributes
    ----------
    doi, key
        What names it, here and in BibTeX.
    bibtex
        Its whole entry.
    authors
        Family names.
    title, journal, year, volume, pages
        As printed.
    letter
        What tells it from another paper that is cited alike, as in 2012a.
    """

    doi: str
    key: str
    bibtex: str
    authors: tuple[str, ...] = ()
    title: str = ""
    journal: str = ""
    year: str = ""
    volume: str = ""
    pages: str = ""
    letter: str = ""

    @property
    def citation(self) -> str:
        """Return how a text cites it: ``Zheng et al., 2017``."""
        if not self.authors:
            return f"doi:{self.doi}"
        names = self.authors[0] if len(self.authors) == 1 else " & ".join(self.authors)
        return f"{names if len(self.authors) < 3 else f'{self.authors[0]} et al.'}, {self.year}{self.letter}"

    @property
    def reference(self) -> str:
        """Return its line in the list of references."""
        if not self.authors:
            return f"https://doi.org/{self.doi}"
        pages = self.pages.replace("--", "–")
        head = f"{self.citation.rpartition(',')[0]} ({self.year}{self.letter}). {self.title}."
        return f"{head} {self.journal} {self.volume}, {pages}. https://doi.org/{self.doi}"


def paper(doi: str) -> Paper:
    """Return the paper of a DOI; of one that is not listed, what the DOI itself says."""
    key = "doi_" + re.sub(r"\W+", "_", doi)
    return papers().get(doi.lower()) or Paper(doi, key, f"@misc{{{key},\n  doi = {{{doi}}}\n}}")


@cache
def papers() -> dict[str, Paper]:
    """Return all that are listed, by DOI in lower case."""
    text = files("cryoloom.data").joinpath("references.bib").read_text(encoding="utf-8")
    found = [_paper(match[1], match[0]) for match in _ENTRY.finditer(text)]
    alike: dict[str, list[Paper]] = {}
    for each in found:
        alike.setdefault(each.citation, []).append(each)
    lettered = [
        replace(each, letter="abcdefgh"[number]) if len(group) > 1 else each
        for group in alike.values()
        for number, each in enumerate(group)
    ]
    return {each.doi.lower(): each for each in lettered}


def _paper(key: str, bibtex: str) -> Paper:
    fields = dict(_FIELD.findall(bibtex))
    authors = tuple(name.partition(",")[0].strip() for name in fields.pop("author").split(" and "))
    return Paper(key=key, bibtex=bibtex, authors=authors, **fields)
