"""Programs as compiled functions: one loop for neighbouring operations, products by NumPy's own BLAS.

grouping.py says what becomes one function and one loop; elements.py, loops.py, updates.py and products.py write them,
writing.py puts them together, machine.py compiles and keeps. Only that one asks for numba, and only when it compiles.
"""
