"""Rules over columns, such as ``score > 0.75 and not (class_id in (3, 7) or defocus_u is null)``: parsed, never evaluated as code.

Grammar: comparisons (also chained: ``1 < x < 2``), ``between a and b``, ``and or not``, parentheses, ``+ - * / % **`` and unary minus,
``abs(…)``, ``contains starts_with ends_with (text, "part")``, ``in`` and ``not in`` with a list in parentheses, ``is null`` and ``is not
null``, numbers, texts in quotes, ``true false null``, names of columns. Words are read in any case; ``=`` and ``<>`` are ``==`` and ``!=``,
``None`` is ``null``.
"""

import ast
import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches

import polars as pl

from cryoloom.spec import WrongUse

_COMPARE = {
    ast.Lt: pl.Expr.__lt__,
    ast.LtE: pl.Expr.__le__,
    ast.Gt: pl.Expr.__gt__,
    ast.GtE: pl.Expr.__ge__,
    ast.Eq: pl.Expr.__eq__,
    ast.NotEq: pl.Expr.__ne__,
}
_ARITHMETIC = {ast.Add: pl.Expr.__add__, ast.Sub: pl.Expr.__sub__, ast.Mult: pl.Expr.__mul__, ast.Mod: pl.Expr.__mod__}
_TO_FLOAT = {ast.Div: pl.Expr.__truediv__, ast.Pow: pl.Expr.__pow__}
_OF_TEXT = {
    "contains": lambda text, part: text.str.contains(part, literal=True),
    "starts_with": lambda text, part: text.str.starts_with(part),
    "ends_with": lambda text, part: text.str.ends_with(part),
}
_TOKEN = re.compile(r"""('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")|(\w+)|(<>|[<>=!]=|=)""")
_WORDS = {"and": "and", "or": "or", "not": "not", "in": "in", "is": "is", "null": "None", "none": "None", "true": "True", "false": "False"}
_SIGNS = {"=": "==", "<>": "!="}
_BETWEEN = "is     "
"""What Python's parser is given for ``between``: a comparison that the grammar has no other use for, of as many letters."""


def parse_rule(text: str, schema: Mapping[str, pl.DataType], *, canonical: Callable[[str], str] = str) -> pl.Expr:
    """Return the Polars expression of a rule; rows where it is unknown (a null, or not a number) do not follow it.

    Parameters
    ----------
    schema
        Columns that may be used, with their types.
    canonical
        Turns the name another program gives a column into ours; unknown names come back as they are.

    Raises
    ------
    WrongUse
        ``rule`` naming the place, or ``rule-column`` naming columns that come near.
    """
    written = text.strip()
    try:
        tree = ast.parse(_python(written, schema), mode="eval")
    except (SyntaxError, ValueError, RecursionError) as error:
        place = getattr(error, "offset", 0) or 0
        raise WrongUse(
            "rule", f"--where {text!r}: not understood at character {place}.", 'Write like "score > 0.75 and class_id in (1, 4)".'
        ) from error
    rule = _Reader(written, schema, canonical).read(tree.body)
    _demand_condition(written, rule, schema)
    return rule.fill_null(False)


def columns_used(rule: pl.Expr) -> list[str]:
    """Return the columns that a rule looks at."""
    return list(dict.fromkeys(rule.meta.root_names()))


def _python(text: str, schema: Mapping[str, pl.DataType]) -> str:
    """Return the rule in Python's spelling; names of columns and texts in quotes stay."""

    def spelt(match: re.Match[str]) -> str:
        quoted, word, sign = match.groups()
        if quoted is not None or word in schema:
            return match[0]
        if word is None:
            return _SIGNS.get(sign, sign)
        if word.lower() == "between":
            return _BETWEEN
        if word.lower() == "is" and not re.match(r"\s+(not\s+)?(null|none)\b", text[match.end() :], re.IGNORECASE):
            raise SyntaxError("is", ("", 1, match.start() + 1, text))
        return _WORDS.get(word.lower(), word)

    return re.sub(r"(?i)\bnot\s+is(?=     )", "is not", _TOKEN.sub(spelt, text))


def _demand_condition(text: str, rule: pl.Expr, schema: Mapping[str, pl.DataType]) -> None:
    try:
        kind = pl.DataFrame(schema=dict(schema)).select(rule.alias("rule")).dtypes[0]
    except pl.exceptions.PolarsError as error:
        why = str(error).partition("\n")[0]
        raise WrongUse("rule", f"--where {text!r}: {why}.", "Compare numbers with numbers and texts with texts in quotes.") from error
    if kind not in (pl.Boolean, pl.Null):
        raise WrongUse("rule", f"--where {text!r} is a value, not a condition.", 'Compare it with something: "score > 0.75".')


class _Reader:
    def __init__(self, text: str, schema: Mapping[str, pl.DataType], canonical: Callable[[str], str]) -> None:
        self.text, self.schema, self.canonical = text, schema, canonical

    def read(self, node: ast.expr) -> pl.Expr:
        """Return what a part of the rule means."""
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return pl.all_horizontal(self._conditions(values))
            case ast.BoolOp(op=ast.Or(), values=values):
                return pl.any_horizontal([self.read(value) for value in values])
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.read(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.read(left), self.read(right))
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _TO_FLOAT:
                return _TO_FLOAT[type(op)](1.0 * self.read(left), self.read(right)).fill_nan(None)
            case ast.Compare(left=left, ops=ops, comparators=right):
                sides = [left, *right]
                return pl.all_horizontal([self._compare(op, a, b) for op, a, b in zip(ops, sides[:-1], sides[1:], strict=True)])
            case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
                return self.read(argument).abs()
            case ast.Call(func=ast.Name(id=name), args=[argument, ast.Constant(value=str(part))], keywords=[]) if name in _OF_TEXT:
                return _OF_TEXT[name](self.read(argument), part)
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return pl.lit(value)
            case ast.Name(id=name):
                return self._column(name)
        raise self._wrong(node)

    def _conditions(self, values: list[ast.expr]) -> list[pl.Expr]:
        """Read what ``and`` joins; that of ``between a and b`` joins no conditions."""
        found, rest = [], list(values)
        while rest:
            first = rest.pop(0)
            inner = first.operand if isinstance(first, ast.UnaryOp) and isinstance(first.op, ast.Not) else first
            between, negated = _begun(inner), inner is not first
            if between is None:
                found.append(self.read(first))
                continue
            if not rest:
                raise self._wrong(first)
            within = self.read(between.left).is_between(self.read(between.comparators[0]), self.read(rest.pop(0)))
            found.append(within if isinstance(between.ops[0], ast.Is) != negated else ~within)
        return found

    def _compare(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> pl.Expr:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List):
                raise self._wrong(right)
            found = self.read(left).is_in([self._value(each) for each in right.elts])
            return found if isinstance(op, ast.In) else ~found
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._wrong(right)
            return self.read(left).is_null() if isinstance(op, ast.Is) else self.read(left).is_not_null()
        return _COMPARE[type(op)](self.read(left), self.read(right))

    def _value(self, node: ast.expr) -> float | str:
        match node:
            case ast.Constant(value=value) if isinstance(value, bool | int | float | str):
                return value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=value)) if isinstance(value, int | float):
                return -value
        raise self._wrong(node)

    def _column(self, name: str) -> pl.Expr:
        known = name if name in self.schema else self.canonical(name)
        if known in self.schema:
            # a NaN is unknown; Polars would count it as larger than every number
            return pl.col(known).fill_nan(None) if self.schema[known].is_float() else pl.col(known)
        near = get_close_matches(name, self.schema, n=3, cutoff=0.5)
        cure = f"Did you mean {', '.join(near)}?" if near else f"There are {', '.join(self.schema)}."
        raise WrongUse("rule-column", f"--where {self.text!r}: there is no column {name!r}.", cure)

    def _wrong(self, node: ast.expr) -> WrongUse:
        part = ast.unparse(node)
        return WrongUse(
            "rule",
            f"--where {self.text!r}: {part!r} at character {node.col_offset + 1} cannot be used.",
            "Use comparisons, between, and, or, not, in, is null.",
        )


def _begun(node: ast.expr) -> ast.Compare | None:
    """Return `node` if it is ``x between a``, the part of it before ``and b``."""
    if not (isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Is | ast.IsNot)):
        return None
    return None if isinstance(node.comparators[0], ast.Constant) and node.comparators[0].value is None else node
