"""Tables as people have them: `table(path)` reads .csv, .tsv, .txt, .npy, .npz, and says how it read them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from .._support.files import PathLike
from .._support.signatures import Array
from .reading import MISSING, SEPARATORS, Rows, Style, read_rows

Names = str | int | Iterable[str | int]
_REPAIR = "fill them, or leave their rows out (.complete(), --missing drop)"
_SHOWN = 3  # missing cells that are named
_COUNTERS = {"id", "index", "idx", "no", "no.", "nr", "nr.", "row"}  # names of columns that number the rows


@dataclass(frozen=True, eq=False)
class Table:
    """Named columns of one length.

    names    of the columns; "column 3" for one without a name
    columns  arrays: float64 with NaN where a cell is missing, or texts
    lines    the line of the file that each row stands in (in an array: its row), counted from 1
    path     the file
    found    how it was read: separator, encoding, header, what was left out
    """

    names: tuple[str, ...]
    columns: tuple[Array, ...]
    lines: Array
    path: str
    found: str

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, name: str | int) -> Array:
        """One column, by its name or by its number, counted from 1."""
        return self.columns[self._number(name)]

    def __str__(self) -> str:
        kinds = [f"{name} (text)" if self._is_text(k) else name for k, name in enumerate(self.names)]
        size = f"{len(self)} rows, {len(kinds)} column{'s' * (len(kinds) != 1)} ({_few(kinds, 8)})"
        told = f"{self.path}: {size}; {self.found}"
        missing = self.missing()
        return told + (f"; {_told(missing)}" if missing else "")

    __repr__ = __str__

    def choose(self, names: Names) -> Table:
        """A table of these columns alone, by name or number, in this order."""
        given = [names] if isinstance(names, (str, int)) else list(names)
        chosen = [self._number(name) for name in given]
        if not chosen:
            raise ValueError(f"{self.path}: no columns were chosen; it has {_few(self.names, 30)}")
        columns = tuple(self.columns[k] for k in chosen)
        return replace(self, names=tuple(self.names[k] for k in chosen), columns=columns)

    def without(self, name: str | int) -> Table:
        """A table of all other columns."""
        number = self._number(name)
        return self.choose([k + 1 for k in range(len(self.names)) if k != number])

    def missing(self) -> list[str]:
        """Where cells are missing, row by row: "line 4, column 'age'"."""
        holes = [np.isnan(column) if not self._is_text(k) else column == "" for k, column in enumerate(self.columns)]
        return [self._place(row, k) for row, k in np.argwhere(np.transpose(holes))] if len(self) else []

    def complete(self) -> Table:
        """A table of the rows without missing cells."""
        keep = np.ones(len(self), bool)
        for k, column in enumerate(self.columns):
            keep &= column != "" if self._is_text(k) else ~np.isnan(column)
        found = f"{self.found}; {len(self) - keep.sum()} incomplete rows left out"
        return replace(self, columns=tuple(c[keep] for c in self.columns), lines=self.lines[keep], found=found)

    def numbers(self) -> Array:
        """All columns as one array (rows, columns); ValueError that names the cell which is no finite number."""
        for k in range(len(self.names)):
            if self._is_text(k):
                raise ValueError(
                    f"{self._place(0, k, ': ')} holds text ({str(self.columns[k][0])[:40]!r}); choose the columns "
                    "that hold numbers (columns=)"
                )
        missing = self.missing()
        if missing:
            raise ValueError(f"{self.path}: {_told(missing)}; {_REPAIR}")
        values = np.stack(self.columns, axis=1)
        if not np.isfinite(values).all():
            row, k = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
            raise ValueError(f"{self._place(row, k, ': ')} is {values[row, k]}; numbers must be finite")
        return values

    def classes(self) -> tuple[Array, list[str]]:
        """For a table of one column: the number of each row's class, and the classes in order."""
        missing = self.missing()
        if missing:
            raise ValueError(f"{self.path}: {_told(missing)}; {_REPAIR}")
        classes, numbers = np.unique(self.columns[0], return_inverse=True)
        return numbers, [value if isinstance(value, str) else f"{value:g}" for value in classes.tolist()]

    def _is_text(self, k: int) -> bool:
        return self.columns[k].dtype.kind == "U"

    def _number(self, name: str | int) -> int:
        """Which column is meant; a text that is no name may be a number."""
        found = [k for k, own in enumerate(self.names) if own == str(name)]
        if len(found) == 1:
            return found[0]
        if str(name).isdecimal() and 1 <= int(name) <= len(self.names):
            return int(name) - 1
        problem = "is the name of several columns; give its number" if found else "is not there"
        raise ValueError(f"{self.path}: column {name!r} {problem}; it has {_few(self.names, 30)}")

    def _place(self, row: int, k: int, after_path: str = "") -> str:
        name = self.names[k]
        column = name if name == f"column {k + 1}" else f"column {name!r}"
        return f"{f'{self.path}{after_path}' if after_path else ''}line {self.lines[row]}, {column}"


def _few(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def _told(missing: Sequence[str]) -> str:
    count = f"{len(missing)} cells are missing" if len(missing) > 1 else "a cell is missing"
    return f"{count}: {'; '.join(missing[:_SHOWN])}{'; ...' if len(missing) > _SHOWN else ''}"


def table(
    path: PathLike,
    *,
    columns: Names | None = None,
    separator: str | None = None,
    decimal: str | None = None,
    header: bool | None = None,
) -> Table:
    """Read a table from a text file (.csv, .tsv, .txt, ...), from .npy, from .npz or from one array, FILE.npz:NAME.

    Text: the encoding, the separator (comma, semicolon, tab, bar, blanks), decimal commas, a line of names (the first,
    or a `#` line above) and a column that only numbers the rows are recognised, and said in `.found`. `columns`
    chooses by name or number; `separator`, `decimal` and `header` overrule what was recognised. Empty cells, NA, NaN,
    null and ? are missing. Structured arrays have names. A ValueError names line, column and what to do.
    """
    found = load(path)
    if not isinstance(found, Path):
        whole = _from_array(str(path), found)
    else:
        whole = _from_rows(found, read_rows(found, separator=separator, decimal=decimal), header, columns is not None)
    return whole if columns is None else whole.choose(columns)


def load(path: PathLike) -> Any:
    """The array of a .npy or .npz file; for a file of text, its Path."""
    text = str(path)
    name, _, key = text.partition(":") if not Path(text).exists() else (text, "", "")
    file = Path(name)
    if not text or not file.exists():
        raise ValueError(f"{text or repr(text)}: no such file; give a .csv, .npy or .npz file")
    if file.is_dir():
        raise ValueError(f"{file} is a folder; give a .csv, .npy or .npz file")
    kind = file.suffix.lower()
    if kind not in (".npy", ".npz"):
        return file
    npy = partial(np.lib.format.open_memmap, mode="r")  # a damaged header may claim more than there is
    try:
        array: Any = npy(file) if kind == ".npy" else _npz(file, key)
    except LookupError as error:
        raise ValueError(error.args[0]) from None
    except Exception as error:  # a damaged header makes NumPy raise whatever its parsers do
        raise ValueError(f"{text}: cannot be read as {kind}: {error or type(error).__name__}") from error
    kinds = {array.dtype[name].kind for name in array.dtype.names or ()} or {array.dtype.kind}
    if not kinds <= set("fiubU" if array.dtype.names else "fiub"):
        raise ValueError(f"{text} holds {array.dtype}; expected real numbers")
    if not array.size:
        raise ValueError(f"{text} is empty (shape {array.shape}); expected numbers")
    return array


def _npz(file: Path, key: str) -> Array:
    # opened here, since NumPy leaves the file open when it turns out to be no archive
    with open(file, "rb") as stream, np.load(stream, allow_pickle=False) as archive:
        names = list(archive.files)
        key = key or (names[0] if len(names) == 1 else "")
        if key not in names:
            asked = f"has no array {key!r}" if key else "holds several arrays" if names else "holds no arrays"
            raise LookupError(f"{file} {asked}" + (f"; choose {file}:NAME from {', '.join(names)}" if names else ""))
        array: Array = archive[key]
        return array


def _from_array(path: str, array: Array) -> Table:
    if array.ndim > 2 or (array.dtype.names and array.ndim != 1):
        raise ValueError(f"{path} has shape {array.shape}; expected a table: rows and columns")
    if array.dtype.names:
        names: tuple[str, ...] = array.dtype.names
        columns = [np.array(array[name]) for name in names]
    else:
        columns = list(np.array(array if array.ndim == 2 else array.reshape(-1, 1), dtype=float).T)
        names = tuple(f"column {k + 1}" for k in range(len(columns)))
    columns = [column if column.dtype.kind == "U" else column.astype(float) for column in columns]
    return Table(
        names, tuple(columns), np.arange(1, len(array.reshape(-1, *array.shape[1:])) + 1), path, f"{array.dtype}"
    )


def _from_rows(file: Path, rows: Rows, header: bool | None, chosen: bool) -> Table:
    cells, lines, names, style = rows.cells, rows.lines, rows.names, rows.style
    found = f"separated by {SEPARATORS.get(rows.separator, rows.separator)}, {rows.encoding}"
    found += ", decimal commas" if style.decimal == "," else ""
    if header or (header is None and names is None and _is_header(cells, style)):
        found += f", names in line {lines[0]}"
        names, cells, lines = cells[0], cells[1:], lines[1:]
    elif names:
        found += ", names in a # line"
    if not cells:
        raise ValueError(f"{file} is empty: there are names in line {rows.lines[0]}, and no rows below")
    width = len(cells[0])
    names = [""] * (width - len(names)) + names if names else [""] * width
    named = [k for k, name in enumerate(names) if name]
    places = list(range(width))
    if width > 1 and not names[-1] and not any(row[-1] for row in cells):  # a separator at the end of each line
        places.pop()
    columns = {k: _column(file, [row[k] for row in cells], names[k] or f"column {k + 1}", lines, style) for k in places}
    unnamed = (named and not names[0]) or names[0] == "Unnamed: 0"
    counter = names[0].lower() in _COUNTERS or names[0].lower().endswith("id")
    if len(places) > 1 and (unnamed or (counter and not chosen and _counts(columns[0]))):
        found += f", the first column ({names[0] or 'without a name'}) numbers or names the rows and is left out"
        places.remove(0)
    if header is None and not named:
        found += ", without names"
        if rows.separator == "," and width == 2 and all("." not in cell for row in cells for cell in row):
            found += " (if these are decimal commas: decimal=',')"
    told = tuple(names[k] or f"column {k + 1}" for k in places)
    return Table(told, tuple(columns[k] for k in places), np.array(lines), str(file), found)


def _counts(column: Array) -> bool:
    steps = np.arange(len(column))
    return (
        column.dtype.kind == "f"
        and len(column) > 2
        and bool(column[0] in (0, 1) and (column - column[0] == steps).all())
    )


def _is_header(cells: list[list[str]], style: Style) -> bool:
    """Whether the first row holds names: no numbers where numbers are below, or whole numbers that name columns."""
    first, rest = cells[0], cells[1:51]
    if not rest:
        return not any(style.number.fullmatch(cell) for cell in first)
    if len(first) < len(rest[0]):
        return True
    numbers = [k for k, cell in enumerate(first) if style.number.fullmatch(cell)]
    below = [[row[k] for row in rest if row[k].lower() not in MISSING] for k in range(len(first))]
    for k, cell in enumerate(first):
        if k not in numbers and cell.lower() not in MISSING and below[k]:
            share = sum(bool(style.number.fullmatch(c)) for c in below[k]) / len(below[k])
            if share > 0.5:
                return True
    if not numbers:  # all of it text: names are those that do not come again below
        return len(set(first)) == len(first) and not any(
            cell in column for cell, column in zip(first, below, strict=True)
        )
    # pandas names columns 0, 1, 2, ...; others name years: whole numbers in a row above numbers with decimals
    heads = [first[k] for k in numbers]
    consecutive = (
        all(h.isdecimal() for h in heads) and np.ptp(np.diff([0, *map(int, heads)])[1:] - 1) == 0
        if len(heads) > 1
        else False
    )
    if not consecutive or len(rest) < 2:
        return False
    starts = int(heads[0]) == 0 or int(heads[0]) >= 1800 or not first[0]
    return starts and all(style.decimal in cell or "e" in cell.lower() for k in numbers for cell in below[k])


def _column(file: Path, cells: list[str], name: str, lines: Sequence[int], style: Style) -> Array:
    """Numbers, NaN where one is missing; or texts, where most cells are no numbers."""
    if style.decimal == "." and style.thousands == "\0":
        try:
            if not any("_" in cell for cell in cells[:100]):
                return np.array(cells).astype(float)
        except ValueError:
            pass
    missing = [cell.lower() in MISSING for cell in cells]
    wrong = [k for k, cell in enumerate(cells) if not missing[k] and not _is_number(cell, style)]
    given = len(cells) - sum(missing)
    if not wrong:
        return np.array([np.nan if gone else _value(cell, style) for cell, gone in zip(cells, missing, strict=True)])
    truths = {"true": 1.0, "false": 0.0}
    if all(gone or cell.lower() in truths for cell, gone in zip(cells, missing, strict=True)):
        return np.array([np.nan if gone else truths[cell.lower()] for cell, gone in zip(cells, missing, strict=True)])
    if len(wrong) > given / 2:
        return np.array(["" if gone else cell for cell, gone in zip(cells, missing, strict=True)])
    label = name if name.startswith("column ") else f"column {name!r}"
    raise ValueError(
        f"{file}, line {lines[wrong[0]]}, {label}: {cells[wrong[0]][:40]!r} is not a number, as most of the column are"
        + (f" (nor are {len(wrong) - 1} other cells)" if len(wrong) > 1 else "")
        + "; mend it, or leave the cell empty"
    )


def _is_number(cell: str, style: Style) -> bool:
    return bool(style.number.fullmatch(cell)) or cell.lower().lstrip("+-") in ("inf", "infinity")


def _value(cell: str, style: Style) -> float:
    return float(style.plain(cell))


def array(path: PathLike) -> Array:
    """The numbers of a file as an array: .npy and .npz with the axes they have, text as (rows, columns)."""
    found = load(path)
    if isinstance(found, Path) or found.dtype.names:
        return table(path).numbers()
    values = np.array(found, dtype=float)
    if not np.isfinite(values).all():
        at = [int(k) for k in np.argwhere(~np.isfinite(values))[0]]
        raise ValueError(f"{path}: the number at index {at} is {values[tuple(at)]}; numbers must be finite")
    return values
