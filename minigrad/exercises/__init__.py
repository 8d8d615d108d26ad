"""Exercises: write the rule of a function, and be told what is wrong with it by its numbers.

    EXERCISES                   by name, from easy to hard
    judge(exercise, functions)  held against the solution and the located checker, with hints
    beside(exercise, functions) yours and the solution's backward pass, drawn
    start, read, functions_of   the learner's file

The command line is minigrad/cli/exercise.py.
"""

from __future__ import annotations

from .fused import BATCH_NORM, LAYER_NORM
from .judging import Judgement, beside, judge, listed
from .kinds import Case, Exercise, Unfit
from .learner import Failed, defined_at, failure, functions_of, read, start
from .simple import SOFTMAX, SQRT, VAR
from .staged import BATCH_NORM_STAGED

EXERCISES = {e.name: e for e in (SQRT, VAR, SOFTMAX, BATCH_NORM_STAGED, BATCH_NORM, LAYER_NORM)}

__all__ = [
    "EXERCISES",
    "Case",
    "Exercise",
    "Failed",
    "Judgement",
    "Unfit",
    "beside",
    "defined_at",
    "failure",
    "functions_of",
    "judge",
    "listed",
    "read",
    "start",
]
