"""Add the studies, their results and the citation to the wheel; pictures stay in the repository."""

import json
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Shipped(BuildHookInterface):
    """Build hook of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """List the files to add.

        Args:
            version: Kind of the wheel; an editable one reads the files of the checkout.
            build_data: Settings of the build, changed in place.
        """
        if version == "editable":
            return
        root, included = Path(self.root), build_data["force_include"]
        included[str(root / "CITATION.cff")] = "pidlab/report/CITATION.cff"
        included[str(root / "studies")] = "pidlab/studies/shipped"
        results = root / "figures"
        for record in results.glob("*/**/provenance.json"):
            # A record has the checksums of the files that make a study's results valid.
            for name in json.loads(record.read_text()).get("checksums", {}):
                path = record.parent / name
                included[str(path)] = f"pidlab/studies/shipped_results/{path.relative_to(results).as_posix()}"
