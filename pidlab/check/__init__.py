"""Is an objective well formed, and what does it capture?"""

from pidlab.check.contract import Finding, contract
from pidlab.check.profile import Profile, profile

__all__ = ["Finding", "Profile", "contract", "profile"]
