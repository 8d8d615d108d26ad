"""The engine: values that remember how they were computed, and the walk that differentiates them."""
