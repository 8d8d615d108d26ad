"""Steps that are recorded once and run again, and the rewriting of graphs before that."""

from .compiled.updates import looks_for_nonfinite
from .fusion import fuse
from .lowering import Listed
from .recorder import NotReplayable
from .step import Replayed, replay

__all__ = ["Listed", "NotReplayable", "Replayed", "fuse", "looks_for_nonfinite", "replay"]
