"""Exercises: write the rule of a function, and be told what is wrong with it by its numbers.

    EXERCISES                   by name, from easy to hard
    judge(exercise, functions)  held against the solution and the located checker, with hints
    beside(exercise, functions) yours and the solution's backward pass, drawn
    start, read, functions_of   the learner's file
    load, verify                a teacher's file with exercises of its own

The command line is minigrad/cli/exercise.py.
"""

from __future__ import annotations

from .fused import BATCH_NORM, LAYER_NORM
from .judging import Judgement, beside, judge, listed
from .kinds import Case, Exercise, Unfit, case
from .learner import Failed, defined_at, failure, functions_of, read, start
from .linear import BROADCASTING, MATMUL, MEAN
from .losses import CROSS_ENTROPY
from .rms import RMS_NORM
from .simple import SOFTMAX, SQRT, VAR
from .staged import BATCH_NORM_STAGED
from .teaching import Verified, load, verify

EASY_TO_HARD = (SQRT, MEAN, BROADCASTING, VAR, MATMUL, SOFTMAX, CROSS_ENTROPY)
EXERCISES = {e.name: e for e in (*EASY_TO_HARD, BATCH_NORM_STAGED, BATCH_NORM, LAYER_NORM, RMS_NORM)}

__all__ = [
    "EXERCISES",
    "Case",
    "Exercise",
    "Failed",
    "Judgement",
    "Unfit",
    "Verified",
    "beside",
    "case",
    "defined_at",
    "failure",
    "functions_of",
    "judge",
    "listed",
    "load",
    "read",
    "start",
    "verify",
]
