"""A folder with files of every kind that a request may name, valid and hostile."""

import io
import json
import os
import shutil
import stat

import numpy as np

MINE = """
import torch
class Mine(torch.nn.Module):
    def __init__(self, encoders, x=None):
        super().__init__()
        self.encoders = encoders
    def forward(self, batch):
        return self.encoders[0](batch.x1).square().mean()
"""
SWEEP = "sweep --unique 0,1 --objective untrained --seeds 2 --steps 2 --batch 16 --probes quick"
READABILITY = "readability --objective untrained --seeds 1 --steps 1 --probes quick --sigma 0,1"
# Sweeps whose folders the requests read, by folder; the second has markup in all of its names.
SWEPT = {
    "done": [*SWEEP.split(), "--objective", "cross", "--track", "2"],
    "odd[red]$x$": [*SWEEP.split(), "--objective", "odd[red]$x$.py:Mine(x='[/]$x$ é')"],
    "readable": READABILITY.split(),
}
TINY = """
title = "[red]A tiny study[/] $x$"
[[sweep]]
axes = { unique = [0, 1] }
objectives = ["untrained"]
steps = 1
[[claim]]
claim = 'captured(objective="untrained", term="redundant") >= 0 everywhere'
source = "none"
"""


def build(folder, trained):
    """Create the folder.

    Args:
        folder: Path of the folder, which must not exist.
        trained: Folder with the results of `SWEPT`.
    """
    folder.mkdir()
    for name in SWEPT:
        shutil.copytree(trained / name, folder / name)
    _texts(folder)
    _arrays(folder)
    _results(folder)
    for suffix in ("csv", "npz", "py", "toml"):
        (folder / f"dir.{suffix}").mkdir()
        os.mkfifo(folder / f"fifo.{suffix}")
    for suffix in ("csv", "npy", "npz", "py", "toml"):
        (folder / f"zero.{suffix}").symlink_to("/dev/zero")
    os.mkfifo(folder / "fifo")
    for name in ("loop", "loop.csv"):
        (folder / name).symlink_to(name)
    (folder / "full.npz").symlink_to("/dev/full")
    (folder / "null.csv").symlink_to("/dev/null")
    for name in ("empty", "readonly"):
        (folder / name).mkdir()
    (folder / "readonly").chmod(0o555)
    (folder / "locked").chmod(0)


def snapshot(folder):
    """Return type, size and time of every file, without what Python writes on import."""
    found = {}
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in (*folders, *files):
            path = os.path.join(root, name)
            known = os.lstat(path)
            is_file = stat.S_ISREG(known.st_mode)
            found[path] = (known.st_mode, *((known.st_size, known.st_mtime_ns) if is_file else ()))
    return found


def _texts(folder):
    xor = "x1,x2,y,p\n0,0,0,0.25\n0,1,1,0.25\n1,0,1,0.25\n1,1,0,0.25\n"
    parity = [f"{a},{b},{c},{a ^ b ^ c},0.125" for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    texts = {
        "file.txt": "text",
        "text.csv": "this is no table",
        "empty.csv": "",
        "xor.csv": xor,
        "-dash.csv": xor,
        "[red].csv": xor,
        "$x$.csv": xor,
        "\udcff.csv": xor,
        "markup.csv": "x1,x2,y,p\n[red],[/],$x$,0.5\n[bold]b[/bold],\\,é,0.5\n",
        "three.csv": "\n".join(["x1,x2,x3,y,p", *parity]),
        "rows.csv": "\n".join(
            ["x1,x2,y,group", *(f"{i % 2},{i // 2 % 2},{i % 2 ^ i // 2 % 2},{i // 8}" for i in range(40))]
        ),
        "counts.csv": "x1,x2,y,count\n0,0,0,10\n1,1,1,10\n",
        "cov.csv": "1,0.5,0.5\n0.5,1,0.5\n0.5,0.5,1\n",
        "x.json": "[[[0.5, 0], [0, 0]], [[0, 0], [0, 0.5]]]",
        "deep.json": "[" * 100_000,
        "mine.py": MINE,
        "odd[red]$x$.py": MINE,
        "\udcff.py": MINE,
        "raises.py": "raise RuntimeError('[red]two\\nlines')",
        "exits.py": "import sys\nsys.exit('[/]')",
        "broken.py": "class Mine(:",
        "tiny.toml": TINY,
        "odd[red].toml": TINY,
        "bad.toml": TINY + "[red",
        "nowhere.json": "{}",
    }  # fmt: skip
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "latin.csv").write_bytes("x1,x2,y,p\nä,0,0,1\n".encode("latin-1"))
    (folder / "latin.toml").write_bytes('title = "ä"'.encode("latin-1"))
    (folder / "NUL.csv").write_bytes(b"x1,x2,y,p\n\0,0,0,1\n")


def _arrays(folder):
    import torch

    draw = np.random.default_rng(0)
    y = draw.integers(0, 2, 60)
    z = y[:, None] + draw.normal(size=(60, 2))
    np.savez(folder / "rows.npz", z1=z, z2=z, y=y, x1=z, x2=z)
    torch.save({"z1": torch.tensor(z), "z2": torch.tensor(z), "y": torch.tensor(y)}, folder / "rows.pt")
    np.save(folder / "rows.npy", z)
    np.save(folder / "cov.npy", np.eye(3) + 0.5)
    np.save(folder / "nan.npy", np.full((2, 2, 2), np.nan))
    np.save(folder / "empty.npy", np.zeros((0, 2, 2)))
    np.save(folder / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**4, 10**4, 10**4)}
    )
    (folder / "big.npy").write_bytes(header.getvalue())
    (folder / "bad.npz").write_bytes(b"PK" + bytes(range(256)))


def _results(folder):
    for name in ("broken", "cut", "locked"):
        (folder / name).mkdir()
    (folder / "broken" / "results.sqlite").write_bytes(bytes(range(256)) * 20)
    (folder / "broken" / "results.csv").write_text("run,objective\n1,[red]\n")
    (folder / "broken" / "provenance.json").write_text(json.dumps({"result_version": 3, "axis_groups": []}))
    text = (folder / "done" / "results.csv").read_text()
    (folder / "cut" / "results.csv").write_text(text[: len(text) // 2])
    shutil.copy(folder / "done" / "provenance.json", folder / "cut")
    data = (folder / "done" / "results.sqlite").read_bytes()
    (folder / "cut" / "results.sqlite").write_bytes(data[: len(data) // 2])
