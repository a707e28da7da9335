"""Contract and profile of an objective: whether it is well formed, and which information it captures."""

from pidlab.check.contract import Finding, contract
from pidlab.check.profile import Profile, profile

__all__ = ["Finding", "Profile", "contract", "profile"]
