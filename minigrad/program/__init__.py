"""One plain form of a recorded computation: values and instructions, forward and backward.

`record(f, *args)` makes one; it runs on other inputs, prints as a listing or as source code, and goes to JSON and back.
"""

from .program import Instruction, Program, Value
from .recording import NotRecordable, record

__all__ = ["Instruction", "NotRecordable", "Program", "Value", "record"]
