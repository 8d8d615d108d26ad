"""Small tables as people have them: python -m tests.data.corpus FOLDER writes them, with what each should be read as.

READ: file -> (content, {name of a column: its values}); texts are labels, None is a missing cell.
REFUSED: file -> (content, what the message must say: the line, the column, what to do).
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np

AB = {"a": [1.5, 3.0], "b": [2.0, 4.0]}
NAMELESS = {"column 1": [1.5, 3.0], "column 2": [2.0, 4.0]}


def saved(x: Any, **more: Any) -> bytes:
    """What np.savetxt writes."""
    stream = io.BytesIO()
    np.savetxt(stream, x, **more)
    return stream.getvalue()


def npy(x: Any, **more: Any) -> bytes:
    """What np.save writes."""
    stream = io.BytesIO()
    np.save(stream, x, **more)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    """What np.savez writes."""
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def encoded(text: str, encoding: str) -> bytes:
    return text.encode(encoding)


X = np.array([[1.5, 2.0], [3.0, 4.0]])
PEOPLE = np.array([("Ann", 1.5, 2), ("Bob", 3.0, 4)], dtype=[("who", "U5"), ("a", "f8"), ("b", "i4")])

READ: dict[str, tuple[str | bytes, dict[str, list[Any]]]] = {
    # pandas
    "to_csv.csv": (",a,b\n0,1.5,2\n1,3.0,4\n", AB),
    "to_csv-no-index.csv": ("a,b\n1.5,2\n3.0,4\n", AB),
    "to_csv-no-header.csv": ("1.5,2\n3.0,4\n", NAMELESS),
    "to_csv-unnamed-columns.csv": (
        ",0,1\n0,1.5,2.0\n1,3.0,4.0\n",
        {"0": [1.5, 3.0], "1": [2.0, 4.0]},
    ),
    "to_csv-unnamed-no-index.csv": ("0,1\n1.5,2.0\n3.0,4.0\n", {"0": [1.5, 3.0], "1": [2.0, 4.0]}),
    "to_csv-text-index.csv": (",a,b\nAnn,1.5,2\nBob,3.0,4\n", AB),
    "to_csv-twice.csv": ("Unnamed: 0,a,b\n0,1.5,2\n1,3.0,4\n", AB),
    "to_csv-missing.csv": (",a,b\n0,1.5,2\n1,,4\n", {"a": [1.5, None], "b": [2, 4]}),
    "to_csv-nan.csv": ("a,b\n1.5,2\nNaN,4\n", {"a": [1.5, None], "b": [2, 4]}),
    "to_csv-na-rep.csv": ("a,b\n1.5,2\nNA,4\n", {"a": [1.5, None], "b": [2, 4]}),
    "to_csv-bool.csv": ("a,b\nTrue,2\nFalse,4\n", {"a": [1, 0], "b": [2, 4]}),
    "to_csv-tabs.tsv": ("\ta\tb\n0\t1.5\t2\n1\t3.0\t4\n", AB),
    "to_csv-decimal.csv": (";a;b\n0;1,5;2,0\n1;3,0;4,0\n", AB),
    "to_csv-years.csv": (
        "country,2019,2020\nDE,1.5,2.5\nFR,3.5,4.5\n",
        {"country": ["DE", "FR"], "2019": [1.5, 3.5], "2020": [2.5, 4.5]},
    ),
    "to_csv-quoted.csv": ('"a","b"\n"1.5","2"\n"3.0","4"\n', AB),
    "to_csv-exponents.csv": ("a,b\n1.5e0,2E+00\n3.0e+0,4e0\n", AB),
    "to_csv-labels.csv": ("a,kind\n1.5,setosa\n3.0,virginica\n", {"a": [1.5, 3], "kind": ["setosa", "virginica"]}),
    "to_csv-comma-in-name.csv": ('"a, in cm",b\n1.5,2\n3.0,4\n', {"a, in cm": [1.5, 3], "b": [2, 4]}),
    "to_csv-comma-in-text.csv": ('a,note\n1.5,"x, y"\n3.0,"z ""q"""\n', {"a": [1.5, 3], "note": ["x, y", 'z "q"']}),
    "to_csv-line-in-cell.csv": ('a,note\n1.5,"x\ny"\n3.0,z\n', {"a": [1.5, 3], "note": ["x\ny", "z"]}),
    "to_csv-counting-id.csv": ("Id,a,b\n1,1.5,2\n2,3.0,4\n3,5.0,6\n", {"a": [1.5, 3, 5], "b": [2, 4, 6]}),
    "to_csv-one-column.csv": ("a\n1.5\n3.0\n", {"a": [1.5, 3]}),
    "to_csv-dates.csv": (
        "day,a\n2020-01-01 10:00,1.5\n2020-01-02 10:00,3.0\n",
        {"day": ["2020-01-01 10:00", "2020-01-02 10:00"], "a": [1.5, 3]},
    ),
    # Excel, LibreOffice
    "excel-english.csv": ("a,b\r\n1.5,2\r\n3.0,4\r\n", AB),
    "excel-german.csv": ("a;b\r\n1,5;2\r\n3;4\r\n", AB),
    "excel-german-latin1.csv": (
        encoded("Größe;b\r\n1,5;2\r\n3;4\r\n", "cp1252"),
        {"Größe": [1.5, 3], "b": [2, 4]},
    ),
    "excel-euro-sign.csv": (
        encoded("Preis in €;b\r\n1,5;2\r\n3;4\r\n", "cp1252"),
        {"Preis in €": [1.5, 3], "b": [2, 4]},
    ),
    "excel-utf8.csv": ("\ufeffa,b\r\n1.5,2\r\n3.0,4\r\n", AB),
    "excel-utf8-german.csv": ("\ufeffa;b\r\n1,5;2\r\n3;4\r\n", AB),
    "excel-unicode-text.txt": (encoded("a\tb\r\n1,5\t2\r\n3\t4\r\n", "utf-16"), AB),
    "excel-utf16-big.txt": (b"\xfe\xff" + encoded("a\tb\r\n1.5\t2\r\n3.0\t4\r\n", "utf-16-be"), AB),
    "utf16-without-mark.txt": (encoded("a\tb\n1.5\t2\n3.0\t4\n", "utf-16-le"), AB),
    "excel-sep-line.csv": ("sep=;\r\na;b\r\n1,5;2\r\n3;4\r\n", AB),
    "excel-thousands.csv": ('a,b\n"1,234.5",2\n"13,000.0",4\n', {"a": [1234.5, 13000], "b": [2, 4]}),
    "excel-thousands-german.csv": ("a;b\n1.234,5;2\n13.000,0;4\n", {"a": [1234.5, 13000], "b": [2, 4]}),
    "excel-empty-last-column.csv": ("a;b;\n1,5;2;\n3;4;\n", AB),
    "excel-empty-lines.csv": ("a,b\n1.5,2\n,\n3.0,4\n,\n\n", AB),
    "excel-mac.csv": ("a,b\r1.5,2\r3.0,4", AB),
    "excel-macro-missing.csv": ("a;b\n1,5;2\n#N/A;4\n", {"a": [1.5, None], "b": [2, 4]}),
    "quoted-decimals.csv": ('"1,5","2,0"\n"3,0","4,0"\n', NAMELESS),
    "one-column-decimal-comma.csv": ("a\n1,5\n3,0\n", {"a": [1.5, 3]}),
    # NumPy, R, MATLAB, gnuplot
    "savetxt.txt": (saved(X), NAMELESS),
    "savetxt-commas.csv": (saved(X, delimiter=","), NAMELESS),
    "savetxt-header.txt": (saved(X, header="a b"), AB),
    "savetxt-header-commas.csv": (saved(X, delimiter=",", header="a,b"), AB),
    "savetxt-remarks.txt": (saved(X, header="made by hand on Monday", footer="the end"), NAMELESS),
    "savetxt-fixed.dat": (saved(X, fmt="%10.4f"), NAMELESS),
    "savetxt-tabs.txt": (saved(X, fmt="%g", delimiter="\t"), NAMELESS),
    "write-csv-of-R.csv": ('"","a","b"\n"1",1.5,2\n"2",3,4\n', AB),
    "write-table-of-R.txt": ('"a" "b"\n"1" 1.5 2\n"2" 3 4\n', AB),
    "write-csv2-of-R.csv": ('"";"a";"b"\n"1";1,5;2\n"2";3;4\n', AB),
    "gnuplot.dat": ("# a b\n\n1.5 2\n3.0 4\n# done\n", AB),
    "structured.npy": (npy(PEOPLE), {"who": ["Ann", "Bob"], "a": [1.5, 3], "b": [2, 4]}),
    "matrix.npy": (npy(X), NAMELESS),
    "vector.npy": (npy(X[:, 0]), {"column 1": [1.5, 3]}),
    "whole.npy": (npy(X.astype(int)), {"column 1": [1, 3], "column 2": [2, 4]}),
    "one.npz": (npz(x=X), NAMELESS),
    # courses
    "iris.data": (
        "5.1,3.5,Iris-setosa\n4.9,3.0,Iris-setosa\n6.2,3.4,Iris-virginica\n\n",
        {
            "column 1": [5.1, 4.9, 6.2],
            "column 2": [3.5, 3.0, 3.4],
            "column 3": ["Iris-setosa"] * 2 + ["Iris-virginica"],
        },
    ),
    "auto-mpg.data": (
        '18.0   8   307.0\t"chevrolet chevelle"\n15.0   8   ?\t"buick skylark 320"\n',
        {
            "column 1": [18, 15],
            "column 2": [8, 8],
            "column 3": [307, None],
            "column 4": ["chevrolet chevelle", "buick skylark 320"],
        },
    ),
    "housing.data": (
        " 0.00632  18.00   24.00\n 0.02731   0.00   21.60\n",
        {"column 1": [0.00632, 0.02731], "column 2": [18, 0], "column 3": [24, 21.6]},
    ),
    "wine-quality.csv": ('"acidity";"quality"\n7.4;5\n7.8;6\n', {"acidity": [7.4, 7.8], "quality": [5, 6]}),
    "seeds.txt": (
        "15.26\t14.84\t1\n14.88\t14.57\t1\n",
        {"column 1": [15.26, 14.88], "column 2": [14.84, 14.57], "column 3": [1, 1]},
    ),
    "spaces-after-commas.csv": ("a, b\n1.5, 2\n3.0, 4\n", AB),
    "bars.txt": ("a|b\n1.5|2\n3.0|4\n", AB),
    "question-marks.data": ("1.5,?\n3.0,4\n", {"column 1": [1.5, 3], "column 2": [None, 4]}),
    "xor.csv": ("0,0\n0,1\n1,0\n1,1\n", {"column 1": [0, 0, 1, 1], "column 2": [0, 1, 0, 1]}),
}

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "word-in-numbers.csv": ("a,b\n1.5,2\nabc,4\n2.5,6\n", r"line 3, column 'a': 'abc' is not a number.*mend it"),
    "unit-in-cell.csv": ("a,b\n1.5,2\n3,4\n5 cm,6\n", r"line 4, column 'a': '5 cm' is not a number.*mend it"),
    "short-line.csv": ("a,b\n1.5,2\n3.0\n5,6\n", r"line 3: 1 cells, but the others have 2 .*remove that line"),
    "long-line.csv": ("a,b\n1.5,2\n3.0,4,9\n", r"line 3: 3 cells, but the others have 2 .*remove that line"),
    "title-above.csv": ("Report 2020\n\na;b\n1;2\n3;4\n", r"line 1: 1 cells, but the others have 2 .*remove that line"),
    "sum-below.csv": ("a,b\n1,2\n3,4\n5,6\nsum: 9,12\n", r"line 5, column 'a': 'sum: 9' is not a number"),
    "empty.csv": ("", r"is empty: there are no rows"),
    "separators-alone.csv": (",,,\n,,\n", r"is empty: no cell of its 3 lines holds anything"),
    "quotes-alone.csv": ('""\n" "\n', r"is empty: no cell of its 3 lines holds anything"),
    "names-alone.csv": ("a,b\n", r"is empty: there are names in line 1, and no rows below"),
    "workbook.xlsx": (b"PK\x03\x04\x14\0", r"is a workbook .*save it as CSV"),
    "old-workbook.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1", r"is an Excel workbook .*save it as CSV"),
    "packed.csv.gz": (b"\x1f\x8b\x08\0", r"is compressed; unpack it"),
    "binary.dat": (bytes(range(256)), r"is not text; give a \.csv"),
    "several.npz": (npz(a=X, b=X), r"holds several arrays; choose .*:NAME from a, b"),
    "objects.npy": (npy(np.array([{}, 1]), allow_pickle=True), r"cannot be read as \.npy"),
    "cube.npy": (npy(np.ones((2, 2, 2))), r"has shape \(2, 2, 2\); expected a table"),
    "complex.npy": (npy(X * 1j), r"holds complex128; expected real numbers"),
}


def write(folder: Path) -> dict[str, Path]:
    """Write every file to `folder`; the paths by name."""
    found = {}
    for name, (content, _) in {**READ, **REFUSED}.items():
        found[name] = folder / name
        found[name].write_bytes(content if isinstance(content, bytes) else content.encode())
    return found


if __name__ == "__main__":
    print(f"wrote {len(write(Path(sys.argv[1])))} files to {sys.argv[1]}")
