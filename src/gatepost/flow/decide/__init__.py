"""3 · Stream policy and standing in, one verdict per recipient out. Pure."""

from gatepost.flow.decide.case import Case
from gatepost.flow.decide.rules import RULES, decide

__all__ = ["RULES", "Case", "decide"]
