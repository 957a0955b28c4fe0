"""What the command line and notebooks share: plan and run grids, and what is made of their records."""

from mibench.api.planning import Plan, plan
from mibench.api.running import execute, run, select

__all__ = ["Plan", "execute", "plan", "run", "select"]
