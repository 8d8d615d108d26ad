"""The subscripts of einsum, read. Knows strings and counts of axes."""

from __future__ import annotations


def explicit(subscripts: str, ndims: list[int]) -> str:
    """The subscripts with output and letters for `...` written out.

    >>> explicit("...ij,jk", [3, 2]), explicit("i,i", [1, 1])
    ('Aij,jk->Aik', 'i,i->')
    """
    if not isinstance(subscripts, str):
        raise TypeError(
            f"einsum: the subscripts come first, as a string such as 'ij,jk->ik'; got {type(subscripts).__name__}"
        )
    terms, arrow, result = subscripts.replace(" ", "").partition("->")
    names = terms.split(",")
    if len(names) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} names {len(names)} operands, but {len(ndims)} were given")
    free = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" if c not in terms + result]
    hidden = [
        ndim - len(name.replace("...", "")) if "..." in name else 0 for name, ndim in zip(names, ndims, strict=True)
    ]
    if any(n < 0 for n in hidden):
        raise ValueError(f"einsum: {subscripts!r} has more letters than the operands, of {ndims} dimensions, have axes")
    widest = max(hidden)
    letters = "".join(free[:widest])
    full = [name.replace("...", letters[widest - n :]) for name, n in zip(names, hidden, strict=True)]
    if arrow:
        output = result.replace("...", letters)
    else:
        everything = "".join(names).replace(".", "")
        output = letters + "".join(sorted(c for c in set(everything) if everything.count(c) == 1))
    for name in full:
        if len(set(name)) < len(name):
            raise ValueError(f"einsum: a letter stands twice in {name!r}; take the diagonal with x[i, i] first")
    return ",".join(full) + "->" + output
