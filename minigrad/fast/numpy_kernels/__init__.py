"""Kernels in NumPy: few calls, few passes over memory."""
