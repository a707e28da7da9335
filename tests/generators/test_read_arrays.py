import io
import struct
import sys
import zipfile

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.numpy import save_file
from scipy.io import savemat

from pidlab import InvalidRequest
from pidlab.generators.arrays import Arrays
from pidlab.generators.read_arrays import as_features, as_labels, read_arrays

N = 120
RNG = np.random.default_rng(0)
X1, X2 = RNG.normal(size=(N, 3)).astype(np.float32), RNG.normal(size=(N, 2)).astype(np.float32)
Y = np.arange(N) % 3
NAMES = ("x1", "x2", "y")


def frame(y=Y, one="x1_{}", two="x2[{}]"):
    columns = {one.format(k): X1[:, k] for k in range(3)} | {two.format(k): X2[:, k] for k in range(2)}
    return pd.DataFrame(columns | {"y": y, "x10": np.ones(N)})


def save_npy_folder(path):
    path.mkdir()
    for name, array in zip(NAMES, (X1, X2, Y), strict=True):
        np.save(path / f"{name}.npy", array)


def save_structured(path):
    rows = np.zeros(N, dtype=[("x1", np.float32, 3), ("x2", np.float32, 2), ("y", np.int64)])
    rows["x1"], rows["x2"], rows["y"] = X1, X2, Y
    np.save(path, rows)


def tensors():
    return {"x1": torch.tensor(X1), "x2": torch.tensor(X2), "y": torch.tensor(Y), "other": 3}


def npz_bytes():
    file = io.BytesIO()
    np.savez(file, x1=X1, x2=X2, y=Y)
    return file.getvalue()


WRITERS = {
    "rows.npz": lambda p: np.savez(p, x1=X1, x2=X2, y=Y, other=np.array([{}])),
    "compressed.npz": lambda p: np.savez_compressed(p, x1=X1, x2=X2, y=Y),
    "rows.csv": lambda p: frame().to_csv(p, index=False),
    "semicolon.csv": lambda p: frame(one="x1.{}", two="x2-{}").to_csv(p, index=False, sep=";"),
    "bom.csv": lambda p: frame().to_csv(p, index=False, encoding="utf-8-sig"),
    "rows.tsv": lambda p: frame().to_csv(p, index=False, sep="\t"),
    "rows.pt": lambda p: torch.save(tensors(), p),
    "gradients.pth": lambda p: torch.save(tensors() | {"x1": torch.tensor(X1, requires_grad=True)}, p),
    "rows.safetensors": lambda p: save_file({"x1": X1, "x2": X2, "y": Y}, p),
    "rows.mat": lambda p: savemat(p, {"x1": X1, "x2": X2, "y": Y}),
    "rows.npy": save_structured,
    "folder": save_npy_folder,
    "CAPITALS.NPZ": lambda p: p.write_bytes(npz_bytes()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_arrays(tmp_path, name):
    WRITERS[name](tmp_path / name)
    generator = Arrays(str(tmp_path / name))
    x1, x2, y = generator._arrays
    assert x1 == pytest.approx(X1, rel=1e-6)
    assert x2 == pytest.approx(X2, rel=1e-6)
    assert y[:, 0].tolist() == Y.tolist()
    assert generator.sample(20).x1.dtype == torch.float32


def test_parquet(tmp_path):
    pytest.importorskip("pyarrow")
    frame().to_parquet(tmp_path / "columns.parquet")
    pd.DataFrame({"x1": list(X1), "x2": list(X2), "y": Y}).to_parquet(tmp_path / "lists.parquet")
    for name in ("columns.parquet", "lists.parquet"):
        arrays = read_arrays(tmp_path / name, NAMES)
        assert (arrays["x1"] == X1).all()
        assert (arrays["y"] == Y).all()


def test_parquet_without_its_library_is_refused_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "fastparquet", None)
    with pytest.raises(InvalidRequest, match="install pyarrow"):
        read_arrays(tmp_path / "a.parquet", NAMES)


def test_a_file_of_a_folder_names_the_folder(tmp_path):
    save_npy_folder(tmp_path / "folder")
    assert (read_arrays(tmp_path / "folder" / "x1.npy", NAMES)["x2"] == X2).all()


def test_optional_arrays(tmp_path):
    np.savez(tmp_path / "a.npz", z1=X1, z2=X2, y=Y, groups=Y)
    arrays = read_arrays(tmp_path / "a.npz", ("z1", "z2", "y"), ("z12", "groups"))
    assert list(arrays) == ["z1", "z2", "y", "groups"]


LABELS = np.array(["dog", "cat", "NA"])[Y]


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (Y, Y),
        (Y.astype(np.uint8), Y),
        (Y.astype(np.float16), Y),
        (Y.astype(bool), (Y > 0).astype(int)),
        (Y - 1, Y),
        (Y * 10**12, Y),
        (Y * 1e12, Y),
        (LABELS, np.array([2, 1, 0])[Y]),
        (LABELS.astype(object), np.array([2, 1, 0])[Y]),
        (LABELS.astype(np.bytes_), np.array([2, 1, 0])[Y]),
        (np.eye(3)[Y], Y),
        (np.eye(3, dtype=bool)[Y], Y),
        (Y[:, None], Y),
    ],
)
def test_labels_of_every_kind(array, expected):
    labels = as_labels(array, "y")
    assert labels.dtype == np.int64
    assert labels.tolist() == expected[:, None].tolist()


def test_several_targets_are_not_one_hot():
    y = np.stack([Y == 0, Y == 1], axis=1).astype(int)
    assert as_labels(y, "y").shape == (N, 2)


def test_string_labels_of_a_table(tmp_path):
    frame(y=LABELS).to_csv(tmp_path / "a.csv", index=False)
    labels = as_labels(read_arrays(tmp_path / "a.csv", NAMES)["y"], "y")
    assert labels[:, 0].tolist() == np.array([2, 1, 0])[Y].tolist()


@pytest.mark.parametrize(
    ("array", "shape"),
    [
        (np.zeros(N, np.float16), (N, 1)),
        (np.zeros((N, 4, 4), np.int8), (N, 16)),
        (np.zeros((N, 8, 8)), (N, 1, 8, 8)),
        (np.zeros((N, 8, 9)), (N, 72)),
        (np.zeros((N, 3, 8, 9)), (N, 3, 8, 9)),
        (np.zeros((N, 9, 8, 3)), (N, 3, 9, 8)),
        (np.zeros((N, 2, 2, 2, 2)), (N, 16)),
    ],
)
def test_shapes_of_features(array, shape):
    features = as_features(array, "x1", keep_images=True)
    assert features.shape == shape
    assert features.dtype == np.float32
    assert as_features(array, "x1").shape == (N, array.size // N)


def test_images_of_bytes_are_scaled_and_encoded(tmp_path):
    images = RNG.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x1=images, x2=X2, y=Y)
    generator = Arrays(str(tmp_path / "a.npz"))
    sample = generator.sample(5, split="train")
    assert [m.shape for m in generator.modalities] == [(3, 8, 8), (2,)]
    assert 0.9 < sample.x1.max() <= 1.0
    assert generator.view(sample, "generic", 0).x1.shape == (5, 3, 8, 8)


def header(shape, dtype="<f8"):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue()


def damaged(name):
    """Return the bytes of a file that cannot be read."""
    file = io.BytesIO()
    if name == "huge.npz":
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("x1.npy", header((10**12, 3)))
    elif name == "encrypted.npz":
        np.savez(file, x1=X1, x2=X2, y=Y)
        content = bytearray(file.getvalue())
        at = content.find(b"PK\x01\x02")
        while at >= 0:  # set the flag of encryption in the directory of the archive
            content[at + 8 : at + 10] = struct.pack("<H", 1)
            at = content.find(b"PK\x01\x02", at + 4)
        return bytes(content)
    elif name == "damaged.npz":
        np.savez_compressed(file, x1=X1, x2=X2, y=Y)
        content = bytearray(file.getvalue())
        content[80:200] = bytes(120)
        return bytes(content)
    elif name == "short.npz":
        np.savez(file, x1=X1, x2=X2, y=Y)
        return file.getvalue()[:-60]
    elif name == "object.pt":
        torch.save({"x1": torch.nn.ReLU()}, file)
    elif name == "tensor.pt":
        torch.save(torch.zeros(3), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("huge.npz", None, "announces 2.4e.04 GB of numbers but it has 1.28e-07 GB; the file is damaged"),
        ("huge.npy", header((10**12,)), "announces 8e.03 GB"),
        ("endless.npy", header((10**200, 10**200)), "announces too many numbers"),
        ("object.npy", header((3,), "|O"), "it has Python objects"),
        ("encrypted.npz", None, "x1 is encrypted; save it without a password"),
        ("damaged.npz", None, "expected an .npz file of plain numbers"),
        ("short.npz", None, "expected an .npz file of plain numbers"),
        ("empty.npz", b"", "expected an .npz file of plain numbers"),
        ("bytes.npy", bytes(range(256)), "expected the header of a .npy file"),
        ("bytes.pt", bytes(range(256)), "which are never loaded, or is damaged"),
        ("object.pt", None, "it has Python objects, which are never loaded"),
        ("tensor.pt", None, "it has a Tensor; save a dictionary of the tensors x1, x2 and y"),
        ("bytes.mat", bytes(range(256)), "expected a MATLAB file"),
        ("bytes.safetensors", bytes(range(256)), "expected a file of tensors"),
        ("bytes.csv", bytes(range(128, 256)), "expected a table"),
        ("empty.csv", b"", "expected a table"),
        ("nothing.csv", b"a,b\n1,2\n", "no column x1 or x1_0, x1_1, ...: its header is a, b"),
        ("partial.csv", b"x1,x2,z\n1,2,3\n", "no array 'y': expected x1, x2 and y, and it has x1, x2"),
        ("holes.csv", b"x1,x2,y\n1,,3\n", "x2 has empty cells"),
        ("rows.txt", b"", "its name ends in .txt; expected .npz"),
        ("rows", b"", "its name ends in no suffix"),
    ],
)
def test_unreadable_files_are_refused_in_one_line(tmp_path, name, content, why):
    (tmp_path / name).write_bytes(damaged(name) if content is None else content)
    with pytest.raises(InvalidRequest, match=why) as caught:
        Arrays(str(tmp_path / name))
    assert "\n" not in str(caught.value)


def test_bytes_of_parquet_are_refused_in_one_line(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "bytes.parquet").write_bytes(bytes(range(256)))
    with pytest.raises(InvalidRequest, match="expected a Parquet table") as caught:
        read_arrays(tmp_path / "bytes.parquet", NAMES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["npz", "npy", "csv", "parquet", "pt", "safetensors", "mat"])
def test_missing_files_are_refused_in_one_line(tmp_path, suffix):
    with pytest.raises(InvalidRequest, match=r"cannot read .*: No such file") as caught:
        read_arrays(tmp_path / f"none.{suffix}", NAMES)
    assert "\n" not in str(caught.value)
