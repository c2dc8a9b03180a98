"""What EMPIAR takes: the fields of a deposition as its program `empiar-depositor` reads them, and its codes of words.

The facts are those of ``empiar_deposition.schema.json`` in empiar-depositor 1.6b30 (EMBL-EBI, 2023), which has no text in common with this file.
"""

from cryoloom.formats.archive_rules import Rule

CATEGORIES = (
    "micrographs - single frame", "micrographs - multiframe", "micrographs - focal pairs - unprocessed",
    "micrographs - focal pairs - contrast inverted", "picked particles - single frame - unprocessed",
    "picked particles - multiframe - unprocessed", "picked particles - single frame - processed",
    "picked particles - multiframe - processed", "tilt series", "class averages", "stitched maps", "diffraction images",
    "reconstructed volumes", "subtomograms",
)  # fmt: skip
FORMATS = ("MRC", "MRCS", "TIFF", "IMAGIC", "DM3", "DM4", "SPIDER", "XML OR HDF5", "EER", "PNG", "JPEG", "SMV", "EM", "TPX3")
"""Of headers and of data; the eighth is XML for headers and Big Data Viewer's HDF5 for data."""
VOXELS = (
    "UNSIGNED BYTE", "SIGNED BYTE", "UNSIGNED 16 BIT INTEGER", "SIGNED 16 BIT INTEGER", "UNSIGNED 32 BIT INTEGER", "SIGNED 32 BIT INTEGER",
    "32 BIT FLOAT", "BIT", "4 BIT INTEGER",
)  # fmt: skip
RELEASES = {
    "RE": "when it has been processed", "EP": "with the EMDB entry", "HP": "with the paper", "HO": "a year after it was deposited",
}  # fmt: skip
MAPS_OF_EMDB = 3
"""The type of an experiment whose map is in EMDB."""


def coded(word: str, words: tuple[str, ...]) -> str:
    """Return EMPIAR's code of a word, ``('T2', '')``; one it has no code for is told itself, ``('OT', '16 BIT FLOAT')``."""
    return f"('T{words.index(word) + 1}', '')" if word in words else f"('OT', '{word}')"


def plain(code: str, words: tuple[str, ...]) -> str:
    """Return the word of a code."""
    kind, _, rest = code.strip("()").partition(", ")
    kind = kind.strip("'")
    return rest.strip("'") if kind == "OT" else words[int(kind[1:]) - 1]


def _text(most: int, *, needed: bool = False, empty: bool = True) -> Rule:
    return Rule("text", empty=empty and not needed, needed=needed, most=most)


def _code(last: int, other: str = "[A-Z0-9 ]+") -> Rule:
    return Rule("text", needed=True, pattern=rf"\('T({'|'.join(map(str, range(1, last + 1)))})', ''\)|\('OT', '{other}'\)")


_NAME = r"[^0-9!\"£$%^&*()]+"
_ORCID = Rule("text", empty=True, pattern=r"(\d{4}-){3}\d{3}[\dX]")
_COUNTRY = Rule("text", empty=True, pattern="[A-Z]{2}")
_PEOPLE = {
    "name": Rule("text", needed=True, pattern=rf"\('{_NAME}', '{_NAME}'\)"), "order_id": Rule("whole", needed=True, least=0),
    "author_orcid": _ORCID,
}  # fmt: skip
_PERSON = {
    "author_orcid": _ORCID,
    "first_name": Rule("text", needed=True, pattern=_NAME, most=60), "middle_name": Rule("text", empty=True, pattern=_NAME, most=60),
    "last_name": Rule("text", needed=True, pattern=_NAME, most=60), "organization": _text(255, needed=True), "street": _text(255),
    "town_or_city": _text(60, empty=False), "state_or_province": _text(60), "post_or_zip": _text(60, empty=False), "telephone": _text(60),
    "fax": _text(60), "email": Rule("text", needed=True, pattern=r"[^@\s]+@[^@\s]+\.[^@\s]+"),
    "country": Rule("text", needed=True, pattern="[A-Z]{2}"),
}  # fmt: skip
_IMAGES = {
    "name": _text(200, needed=True), "directory": Rule("text", needed=True, most=200, pattern=r"[^\0]+"),
    "category": _code(len(CATEGORIES), r"[^\0]+"), "header_format": _code(len(FORMATS)), "data_format": _code(len(FORMATS)),
    "num_images_or_tilt_series": Rule("whole", needed=True, least=1), "frames_per_image": Rule("whole", needed=True, least=1),
    "frame_range_min": Rule("whole", empty=True, least=1), "frame_range_max": Rule("whole", empty=True, least=1),
    "voxel_type": _code(len(VOXELS)),
    "pixel_width": Rule("number", empty=True, least=0), "pixel_height": Rule("number", empty=True, least=0), "details": Rule("text", empty=True),
    "micrographs_file_pattern": _text(200), "picked_particles_file_pattern": _text(200), "picked_particles_directory": _text(200),
    "image_width": Rule("whole", empty=True, least=1), "image_height": Rule("whole", empty=True, least=1),
}  # fmt: skip
_PAPER = {
    "authors": Rule("list", needed=True, least=1, fields=_PEOPLE), "editors": Rule("list", fields=_PEOPLE), "published": Rule("yes-no", needed=True),
    "j_or_nj_citation": Rule("yes-no", needed=True), "title": _text(255, needed=True), "volume": _text(8), "country": _COUNTRY,
    "first_page": _text(8), "last_page": _text(8), "year": Rule("whole", empty=True, least=1000, most=9999), "language": _text(40),
    "doi": Rule("text", empty=True, pattern=r"10.\d{4,9}/[-._;()/:A-z0-9]+", most=80),
    "pubmedid": Rule("text", empty=True, pattern=r"\d{1,8}(.\d+)?", most=20), "details": _text(65535), "book_chapter_title": _text(80),
    "publisher": _text(80), "publication_location": _text(80), "journal": Rule("text", empty=True),
    "journal_abbreviation": Rule("text", empty=True), "issue": Rule("text", empty=True),
}  # fmt: skip


def _links(pattern: str) -> Rule:
    return Rule("list", fields={"name": Rule("text", pattern=pattern)})


DEPOSITION = Rule(
    "object",
    fields={
        "title": Rule("text", needed=True, least=10, most=255), "release_date": Rule("text", needed=True, among=tuple(RELEASES)),
        "experiment_type": Rule("whole", needed=True, among=(*range(1, 10), 11, 12, 13)), "scale": Rule("text", pattern="[1-5]"),
        "cross_references": _links(r"EMD-\d{4,}"), "biostudies_references": _links("S-.*"), "idr_references": _links("idr.*"),
        "empiar_references": _links(r"EMPIAR-\d+"),
        "workflows": Rule("list", fields={"url": Rule("text", pattern="https://.+"), "type": Rule("whole", among=(1,))}),
        "authors": Rule("list", needed=True, least=1, fields=_PEOPLE), "corresponding_author": Rule("object", needed=True, fields=_PERSON),
        "principal_investigator": Rule("list", needed=True, least=1, fields=_PERSON),
        "workflow_file": Rule("object", fields={"path": Rule("text", empty=True, needed=True, most=200)}),
        "imagesets": Rule("list", needed=True, least=1, fields=_IMAGES), "citation": Rule("list", needed=True, least=1, fields=_PAPER),
    },
)  # fmt: skip
"""A whole deposition."""
