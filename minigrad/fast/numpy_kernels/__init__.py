"""Kernels in NumPy: few calls, few passes over memory."""

from .batch import batch_norm as batch_norm
from .losses import sigmoid_cross_entropy as sigmoid_cross_entropy
from .losses import softmax_cross_entropy as softmax_cross_entropy
from .masks import masked as masked
from .updates import adam as adam
from .updates import running_statistics as running_statistics
