"""From the bytes of a file to rows of cells: the encoding, the separator, what marks decimals. Knows no columns.

Cells are split by the csv module. What it leaves to the caller is decided here by trying: the separator that gives
every line the same number of cells, and most of them numbers.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

SEPARATORS = {"\t": "tabs", ";": "semicolons", "|": "bars", ",": "commas", " ": "blanks"}  # the first of equals wins
MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "?", "-", "--", "."))  # in small letters
ENDING = "save it as CSV and give that file"
KINDS = {  # files that are no text, by their first bytes
    b"PK\x03\x04": f"is a workbook (.xlsx, .ods) or a zip archive; {ENDING}",
    b"\xd0\xcf\x11\xe0": f"is an Excel workbook (.xls); {ENDING}",
    b"\x1f\x8b": "is compressed; unpack it (gunzip) and give the file inside",
    b"PAR1": f"is a Parquet file; {ENDING}",
    b"\x89HDF": f"is an HDF5 file; {ENDING}",
    b"%PDF": "is a PDF; give the table as CSV",
}
_MARKS = [(codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")]
_EXPONENT = r"(?:[eE][+-]?\d+)?"


class Style(NamedTuple):
    """How a table writes numbers: what stands before the decimals, and between thousands."""

    decimal: str
    thousands: str
    number: re.Pattern[str]

    def plain(self, cell: str) -> str:
        """The cell as Python writes the number; nonsense stays nonsense."""
        return cell.replace(self.thousands, "").replace(self.decimal, ".") if self.number.fullmatch(cell) else cell


def _style(decimal: str, thousands: str) -> Style:
    d, t = re.escape(decimal), re.escape(thousands)
    whole = rf"(?:\d{{1,3}}(?:{t}\d{{3}})+|\d+)" if thousands else r"\d+"
    return Style(decimal, thousands or "\0", re.compile(rf"[+-]?(?:{whole}(?:{d}\d*)?|{d}\d+){_EXPONENT}"))


POINT, COMMA, POINT_GROUPED, COMMA_GROUPED = _style(".", ""), _style(",", ""), _style(".", ","), _style(",", ".")


class Rows(NamedTuple):
    """The cells of a table. `lines` says in which line of the file each row ends; `names` is a `#` line's, if any."""

    cells: list[list[str]]
    lines: list[int]
    names: list[str] | None
    separator: str
    style: Style
    encoding: str


def read_rows(path: Path, *, separator: str | None = None, decimal: str | None = None) -> Rows:
    """Rows of cells, blanks around them removed; ValueError where they cannot be told apart, with the line."""
    text, encoding = _decoded(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    told = re.fullmatch(r"sep=(.)", lines[0].strip(' "'))  # how Excel is told
    if told:
        lines[0], separator = "", separator or told[1]
    comments = [k for k, line in enumerate(lines) if re.match(r"\s*#(?!N/A)", line)]
    first = next((k for k, line in enumerate(lines) if line.strip() and k not in set(comments)), len(lines))
    remark = next((lines[k].lstrip(" #\t").rstrip() for k in reversed(comments) if k < first), "")
    for k in comments:
        lines[k] = ""
    if first == len(lines):
        raise ValueError(f"{path} is empty: there are no rows in it")
    sample = list(islice((line for line in lines[first:] if line.strip()), 200))
    separator = separator or _separator(sample, decimal)
    cells, ends = _split(lines, separator)
    if not cells:
        raise ValueError(f"{path} is empty: no cell of its {len(lines)} lines holds anything")
    if separator == "," and len(cells[0]) == 1 and all(len(row) == 2 for row in cells[1:]) and cells[1:]:
        separator, decimal = ";", ","  # one name above 1,5: a single column with decimal commas
        cells, ends = _split(lines, separator)
    _check_lengths(path, cells, ends, separator)
    style = _numbers(cells[1:201] or cells, separator, decimal)[1]
    names = _split([remark], separator)[0]
    width = len(cells[-1])
    fits = names and len(names[0]) == width and not any(style.number.fullmatch(name) for name in names[0])
    return Rows(cells, ends, names[0] if fits else None, separator, style, encoding)


def _decoded(path: Path) -> tuple[str, str]:
    """The text of a file and the name of its encoding: by its mark, else UTF-8, else what Windows writes."""
    content = path.read_bytes()
    for start, what in KINDS.items():
        if content.startswith(start):
            raise ValueError(f"{path} {what}")
    encodings = [name for mark, name in _MARKS if content.startswith(mark)]
    if not encodings and b"\0" in content[:400]:  # UTF-16 without its mark has a zero beside every Latin letter
        odd, even = content[1:400:2].count(0), content[:400:2].count(0)
        length = min(len(content), 400) // 2
        if max(odd, even) < 0.6 * length or min(odd, even) > 0.2 * length:
            raise ValueError(f"{path} is not text; give a .csv, .npy or .npz file")
        encodings = ["utf-16-le" if odd > even else "utf-16-be"]
    for encoding in encodings or ["utf-8", "cp1252", "latin-1"]:
        try:
            return content.decode(encoding), encoding.removesuffix("-sig")
        except UnicodeDecodeError as error:
            reason = error
    raise ValueError(f"{path} begins as {encodings[0]} and is none: {reason.reason} at byte {reason.start}")


def _split(lines: Sequence[str], separator: str) -> tuple[list[list[str]], list[int]]:
    """Cells and line numbers of the rows that hold anything."""
    if separator == " ":
        lines = [" ".join(re.split(r"[ \t]+", line.strip())) for line in lines]
    reader = csv.reader((f"{line}\n" for line in lines), delimiter=separator, skipinitialspace=True)
    rows, ends = [], []
    for row in reader:
        cells = [cell.strip().strip("\ufeff\xa0") for cell in row]
        if any(cells):
            rows.append(cells)
            ends.append(reader.line_num)
    return rows, ends


def _separator(sample: Sequence[str], decimal: str | None) -> str:
    """What gives the most lines the same number of cells, then the most numbers; a comma for a single column."""
    scores: dict[str, tuple[bool, float]] = {}
    for separator in SEPARATORS:
        rows, _ = _split(sample, separator)
        if not rows:
            continue
        width = Counter(len(row) for row in rows).most_common(1)[0][0]
        alike = [row for row in rows if len(row) == width]
        share = (len(alike) + _lacks_one(rows[0], width, separator)) / len(rows)
        if width > 1 and share > 0.5 and (separator, decimal) != (",", ","):
            scores[separator] = (share == 1, _numbers(alike[1:] or alike, separator, decimal)[0])
    return max(scores, key=lambda separator: scores[separator], default=";" if decimal == "," else ",")


def _numbers(rows: Sequence[Sequence[str]], separator: str, decimal: str | None) -> tuple[float, Style]:
    """The share of cells that are numbers, in the style that finds the most."""
    styles = [COMMA, COMMA_GROUPED] if decimal == "," else [POINT, POINT_GROUPED] if decimal == "." else []
    # 1,234 in a cell of a comma-separated table was put in quotes for its thousands, elsewhere for its decimals
    styles = styles or [POINT, *([POINT_GROUPED, COMMA] if separator == "," else [COMMA, POINT_GROUPED]), COMMA_GROUPED]
    cells = [cell for row in rows for cell in row if cell.lower() not in MISSING]
    found = [
        (sum(bool(style.number.fullmatch(cell)) for cell in cells) / max(len(cells), 1), style) for style in styles
    ]
    return max(found, key=lambda each: each[0])


def _lacks_one(head: Sequence[str], width: int, separator: str) -> bool:
    """R's write.table writes no name over the names of the rows."""
    return separator in " \t" and len(head) == width - 1


def _check_lengths(path: Path, cells: list[list[str]], ends: list[int], separator: str) -> None:
    width = Counter(len(row) for row in cells).most_common(1)[0][0]
    for k, (row, line) in enumerate(zip(cells, ends, strict=True)):
        if len(row) != width and not (k == 0 and _lacks_one(row, width, separator)):
            raise ValueError(
                f"{path}, line {line}: {len(row)} cells, but the others have {width} "
                f"(separated by {SEPARATORS.get(separator, repr(separator))}): mend or remove that line"
            )
