"""Rules over columns, such as ``score > 0.75 and not (class_id in (3, 7) or defocus_u is None)``: parsed, never evaluated as code.

Grammar: comparisons (also chained: ``1 < x < 2``), ``and or not``, parentheses, ``+ - * /`` and unary minus, ``abs(...)``, ``in`` and
``not in`` with a list in parentheses, ``is None`` and ``is not None``, numbers, texts in quotes, ``True False None``, names of columns.
"""

import ast
from collections.abc import Callable, Sequence
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
_ARITHMETIC = {ast.Add: pl.Expr.__add__, ast.Sub: pl.Expr.__sub__, ast.Mult: pl.Expr.__mul__, ast.Div: pl.Expr.__truediv__}


def parse_rule(text: str, columns: Sequence[str], *, canonical: Callable[[str], str] = str) -> pl.Expr:
    """Return the Polars expression of a rule; rows where it is unknown (a null) do not follow it.

    Parameters
    ----------
    columns
        Names that may be used.
    canonical
        Turns the name another program gives a column into ours; unknown names come back as they are.

    Raises
    ------
    WrongUse
        ``rule`` naming the place, or ``rule-column`` naming columns that come near.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        place = getattr(error, "offset", 0) or 0
        raise WrongUse(
            "rule", f"--where {text!r}: not understood at character {place}.", 'Write like "score > 0.75 and class_id in (1, 4)".'
        ) from error
    return _Reader(text, columns, canonical).read(tree.body).fill_null(False)


class _Reader:
    def __init__(self, text: str, columns: Sequence[str], canonical: Callable[[str], str]) -> None:
        self.text, self.columns, self.canonical = text, columns, canonical

    def read(self, node: ast.expr) -> pl.Expr:
        """Return what a part of the rule means."""
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.read(value) for value in values]
                return pl.all_horizontal(parts) if isinstance(op, ast.And) else pl.any_horizontal(parts)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self.read(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self.read(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return _ARITHMETIC[type(op)](self.read(left), self.read(right))
            case ast.Compare(left=left, ops=ops, comparators=right):
                sides = [left, *right]
                return pl.all_horizontal([self._compare(op, a, b) for op, a, b in zip(ops, sides[:-1], sides[1:], strict=True)])
            case ast.Call(func=ast.Name(id="abs"), args=[argument], keywords=[]):
                return self.read(argument).abs()
            case ast.Constant(value=value) if value is None or isinstance(value, bool | int | float | str):
                return pl.lit(value)
            case ast.Name(id=name):
                return self._column(name)
        raise self._wrong(node)

    def _compare(self, op: ast.cmpop, left: ast.expr, right: ast.expr) -> pl.Expr:
        if isinstance(op, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List) or not all(isinstance(each, ast.Constant) for each in right.elts):
                raise self._wrong(right)
            found = self.read(left).is_in([each.value for each in right.elts if isinstance(each, ast.Constant)])
            return found if isinstance(op, ast.In) else ~found
        if isinstance(op, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self._wrong(right)
            return self.read(left).is_null() if isinstance(op, ast.Is) else self.read(left).is_not_null()
        return _COMPARE[type(op)](self.read(left), self.read(right))

    def _column(self, name: str) -> pl.Expr:
        known = name if name in self.columns else self.canonical(name)
        if known in self.columns:
            return pl.col(known)
        near = get_close_matches(name, self.columns, n=3, cutoff=0.5)
        cure = f"Did you mean {', '.join(near)}?" if near else f"There are {', '.join(self.columns)}."
        raise WrongUse("rule-column", f"--where {self.text!r}: there is no column {name!r}.", cure)

    def _wrong(self, node: ast.expr) -> WrongUse:
        part = ast.get_source_segment(self.text.strip(), node) or type(node).__name__
        return WrongUse(
            "rule",
            f"--where {self.text!r}: {part!r} at character {node.col_offset + 1} cannot be used.",
            "Use comparisons, and, or, not, in, is None.",
        )
