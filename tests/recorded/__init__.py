"""What PyTorch gives, recorded: see README.md."""

from . import cases_functions, cases_optim

CASES = [*cases_optim.cases(), *cases_functions.cases()]
