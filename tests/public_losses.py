"""Try public losses and typical classes, record what happens, and write the table of the documentation.

    python tests/public_losses.py            # tries all that are installed and writes record and page
    python tests/public_losses.py NAME...    # tries these only
    python tests/public_losses.py --render   # writes the page from the record

Every loss goes through the rules of `pidlab check` and through `pidlab sweep --quick --steps 60`. The record
of losses whose package is not installed is kept.
"""

import argparse
import ast
import importlib.metadata
import importlib.util
import json
import sys
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from pidlab import InvalidRequest, load_objective
from pidlab.check import contract
from pidlab.errors import reason
from pidlab.sweeps import run_sweep
from pidlab.sweeps.request import build_request

ROOT = Path(__file__).resolve().parent.parent
RECORD, PAGE = ROOT / "docs" / "public_losses.json", ROOT / "docs" / "public-losses.md"
WRAPPED, TYPICAL = ROOT / "tests" / "wrapped_losses.py", ROOT / "tests" / "typical_losses.py"
STEPS = 60
# The default batch of 256 would give pytorch-metric-learning 512 embeddings of 16 classes, for which its
# NTXentLoss compares every positive with every negative pair in several GB.
BATCH = {"pytorch_metric_learning": 32}
BEGIN, END = "<!-- begin of the tables -->", "<!-- end of the tables -->"
AS_IS, WITH_CLASS, REFUSED = "works as it is", "works with a class", "refused"
# An outcome of the page: it trains, and `check` finds a rule that it breaks.
FAULTY = "trains, `check` finds a fault"

# References by package, each with the class of wrapped_losses.py that makes it work, if it needs one.
PACKAGES: dict[str, dict[str, str]] = {
    "torch": {
        "torch.nn:CrossEntropyLoss": "",
        "torch.nn:MultiMarginLoss": "",
        "torch.nn:MSELoss": "",
        "torch.nn:SmoothL1Loss": "",
        "torch.nn.functional:huber_loss": "",
        "torch.nn:CosineEmbeddingLoss": "CosineEmbedding",
        "torch.nn:TripletMarginLoss": "TripletMargin",
        "torch.nn:MarginRankingLoss": "MarginRanking",
        "torch.nn:KLDivLoss": "",
        "torch.nn:BCEWithLogitsLoss": "",
        "torch.nn:NLLLoss": "",
    },
    "lightly": {
        "lightly.loss.ntx_ent_loss:NTXentLoss(temperature=0.2)": "",
        "lightly.loss.ntx_ent_loss:NTXentLoss(memory_bank_size=[256, 32])": "",
        "lightly.loss.dcl_loss:DCLLoss": "",
        "lightly.loss.dcl_loss:DCLWLoss": "",
        "lightly.loss.vicreg_loss:VICRegLoss": "",
        "lightly.loss.barlow_twins_loss:BarlowTwinsLoss": "",
        "lightly.loss.tico_loss:TiCoLoss": "",
        "lightly.loss.macl_loss:MACLLoss": "",
        "lightly.loss.directclr_loss:DirectCLRLoss(loss_dim=16)": "",
        "lightly.loss.hypersphere_loss:HypersphereLoss": "",
        "lightly.loss.negative_cosine_similarity:NegativeCosineSimilarity": "",
        "lightly.loss.koleo_loss:KoLeoLoss": "KoLeo",
        "lightly.loss.frossl_loss:FroSSLLoss": "FroSSL",
        "lightly.loss.mmcr_loss:MMCRLoss": "MMCR",
        "lightly.loss.swav_loss:SwaVLoss": "SwaV",
        "lightly.loss.dino_loss:DINOLoss": "DINOHead",
        "lightly.loss.msn_loss:MSNLoss": "MSN",
        "lightly.loss.lejepa_loss:LeJEPALoss": "LeJEPA",
    },
    "pytorch-metric-learning": {
        "pytorch_metric_learning.losses:NTXentLoss": "",
        "pytorch_metric_learning.losses:TripletMarginLoss": "",
        "pytorch_metric_learning.losses:ContrastiveLoss": "",
        "pytorch_metric_learning.losses:SupConLoss": "",
        "pytorch_metric_learning.losses:MultiSimilarityLoss": "",
        "pytorch_metric_learning.losses:CircleLoss": "",
        "pytorch_metric_learning.losses:ArcFaceLoss(num_classes=16, embedding_size=32)": "",
        "pytorch_metric_learning.losses:ProxyAnchorLoss(num_classes=16, embedding_size=32)": "",
        "pytorch_metric_learning.losses:VICRegLoss": "",
        "pytorch_metric_learning.losses:CrossBatchMemory": "",
        "pytorch_metric_learning.losses:SelfSupervisedLoss": "SelfSupervised",
    },
    "open_clip_torch": {
        "open_clip.loss:ClipLoss": "",
        "open_clip.loss:SigLipLoss": "",
        "open_clip.loss:CoCaLoss(caption_loss_weight=1.0, clip_loss_weight=1.0)": "",
        "open_clip.loss:DistillClipLoss": "",
    },
}


def stubs() -> dict[str, Any]:
    """Return modules that let the loss files of lightly and open_clip be imported without torchvision.

    The losses call nothing of torchvision.
    """
    modules: dict[str, Any] = {name: mock.MagicMock() for name in ("torchvision", "torchvision.ops")}
    parts = {"lightly": ["", ".loss", ".models", ".models.modules", ".utils"], "open_clip": [""]}
    for package, inner in parts.items():
        spec = importlib.util.find_spec(package)
        for part in inner if spec and spec.submodule_search_locations else []:
            module = types.ModuleType(package + part)
            module.__path__ = [spec.submodule_search_locations[0] + part.replace(".", "/")]
            modules[module.__name__] = module
    return modules


def typical() -> dict[str, str]:
    """Return the first line of the docstring of every typical class by name."""
    nodes = ast.parse(TYPICAL.read_text(encoding="utf-8")).body
    return {n.name: f"{ast.get_docstring(n)}" for n in nodes if isinstance(n, ast.ClassDef)}


def attempt(reference: str) -> dict[str, Any]:
    """Check a loss and sweep it; return whether it works, the message otherwise, and the notes of check."""
    try:
        findings = list(contract(load_objective(reference)))
    except InvalidRequest as error:
        return {"works": False, "message": str(error)}
    notes = {f.rule: f.why.splitlines()[0] for f in findings if not f.ok or f.why.startswith("warning")}
    if len(findings) == 1:
        return {"works": False, "message": findings[0].why}
    batch = BATCH.get(reference.partition(".")[0])
    request = build_request([], objectives=[reference], quick=True, steps=STEPS, batch=batch)
    with tempfile.TemporaryDirectory() as folder:
        result = run_sweep(request, Path(folder))
    if result.failures:
        return {"works": False, "message": next(iter(result.failures.values())), "notes": notes}
    return {"works": True, "notes": notes}


def try_loss(reference: str, wrapped: str) -> dict[str, Any]:
    """Try a loss as it is, and with its class if it is refused; return its entry of the record."""
    try:
        entry = attempt(reference)
    except Exception as error:  # a fault of pidlab, which the record shows
        entry = {"works": False, "message": f"not handled: {reason(error)}"}
    if not entry.pop("works"):
        entry["outcome"] = REFUSED
        # Frames of a traceback have paths of this machine.
        line, *more = entry["message"].splitlines()
        entry["message"], entry["shows_class"] = line, any("class MyLoss" in text for text in more)
        if wrapped:
            with_class = attempt(f"{WRAPPED.relative_to(ROOT)}:{wrapped}")
            if with_class["works"]:
                return entry | {"outcome": WITH_CLASS, "class": wrapped, "notes": with_class["notes"]}
            print(f"{wrapped} does not work: {with_class['message']}", file=sys.stderr)
        return entry
    return {"outcome": AS_IS, **entry}


def cases() -> Iterator[tuple[str, str, str]]:
    """Yield the package, the reference and the class of every loss."""
    for package, losses in PACKAGES.items():
        for reference, wrapped in losses.items():
            yield package, reference, wrapped
    for name in typical():
        yield "typical", f"{TYPICAL.relative_to(ROOT)}:{name}", ""


def is_installed(package: str) -> bool:
    """Return whether a package can be tried here."""
    try:
        return package == "typical" or bool(importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return False


def update(names: list[str]) -> None:
    """Try the losses whose reference contains one of the names, and write them to the record."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.modules |= stubs()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    for package, reference, wrapped in cases():
        if is_installed(package) and (not names or any(name in reference for name in names)):
            version = importlib.metadata.version(package if package != "typical" else "torch")
            entry = {"package": package, "version": version.split("+")[0], **try_loss(reference, wrapped)}
            print(
                reference,
                "-",
                entry["outcome"],
                "-",
                entry.get("message", ""),
                entry.get("notes"),
                flush=True,
            )
            record[reference] = entry
            ordered = {ref: record[ref] for _, ref, _ in cases() if ref in record}
            RECORD.write_text(json.dumps(ordered, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    render()


def render() -> None:
    """Write the tables of the record into the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    record = json.loads(RECORD.read_text(encoding="utf-8"))
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables(record)}\n\n{END}{after}", encoding="utf-8")


def tables(record: dict[str, Any]) -> str:
    """Return the tables of the page as Markdown."""
    outcomes = [_outcome(entry).partition(",")[0] for entry in record.values()]
    as_is, wrapped, faulty, refused = (
        outcomes.count(outcome.partition(",")[0]) for outcome in (AS_IS, WITH_CLASS, FAULTY, REFUSED)
    )
    parts = [
        f"{len(record)} losses: {as_is} work as they are, {wrapped} work with a class, {faulty} train with a "
        f"fault that `check` finds, {refused} are refused."
    ]
    about = typical()
    for package in (*PACKAGES, "typical"):
        entries = {ref: e for ref, e in record.items() if e["package"] == package}
        if not entries:
            continue
        version = next(iter(entries.values()))["version"]
        title = "Typical classes" if package == "typical" else package
        lines = [f"## {title}", ""]
        if package != "typical":
            lines += [f"Version {version}.", ""]
        lines += ["| loss | outcome | message or notes of `check` |", "|---|---|---|"]
        for ref, entry in entries.items():
            name = ref.rpartition(":")[2]
            shown = f"`{name}`: {about[name].splitlines()[0]}" if package == "typical" else f"`{ref}`"
            lines.append(f"| {shown} | {_outcome(entry)} | {_notes(entry)} |")
        parts.append("\n".join(lines))
    parts.append("## Classes around losses of other inputs")
    # The packages are not installed where the blocks of the documentation are tested.
    parts.append("<!-- no-test -->\n```python\n" + _classes() + "\n```")
    return "\n\n".join(parts)


def _outcome(entry: dict[str, Any]) -> str:
    if any(not text.startswith("warning") for text in (entry.get("notes") or {}).values()):
        return entry["outcome"] if entry["outcome"] == REFUSED else FAULTY
    return f"{WITH_CLASS}, `{entry['class']}`" if "class" in entry else entry["outcome"]


def _notes(entry: dict[str, Any]) -> str:
    texts = [entry["message"].rstrip(":")] if "message" in entry else []
    if entry["outcome"] != REFUSED:
        texts += [text.removeprefix("warning: ") for text in entry.get("notes", {}).values()]
    return "<br>".join(text.replace("|", "\\|").replace("<", "&lt;") for text in texts)


def _classes() -> str:
    """Return the source of the classes of wrapped_losses.py."""
    source = WRAPPED.read_text(encoding="utf-8")
    nodes = [n for n in ast.parse(source).body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    return "\n\n\n".join(str(ast.get_source_segment(source, node)) for node in nodes)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", help="parts of references")
    parser.add_argument("--render", action="store_true", help="write the page only")
    arguments = parser.parse_args()
    render() if arguments.render else update(arguments.names)
