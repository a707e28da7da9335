"""A user's arrays and files: labels, one-hot rows, torch files; everything else is refused in one line."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat

from pidlab import InvalidRequest
from pidlab.probes.representations import from_arrays, load_representations

Z = np.zeros((6, 2))
Y = np.array([0, 1, 2, 0, 1, 2])


def test_one_hot_rows_are_one_target():
    for one_hot in (np.eye(3)[Y], np.eye(3, dtype=bool)[Y], torch.eye(3)[Y]):
        rows = from_arrays({"z1": Z, "z2": Z, "y": one_hot})
        assert rows.is_one_hot
        assert rows.y[:, 0].tolist() == Y.tolist()
    several = from_arrays({"z1": Z, "z2": Z, "y": np.array([[0, 1], [1, 1], [0, 0]] * 2)})
    assert not several.is_one_hot
    assert several.y.shape == (6, 2)


def test_torch_files_are_read(tmp_path):
    tensors = {"z1": torch.zeros(6, 2, dtype=torch.bfloat16), "z2": torch.ones(6, 1), "y": torch.tensor(Y)}
    torch.save(tensors, tmp_path / "a.pt")
    train, test = load_representations(tmp_path / "a.pt")
    assert test is None
    assert train.with_z12().readouts["z12"].shape == (6, 3)
    assert train.y[:, 0].tolist() == Y.tolist()
    (tmp_path / "a.npz").write_bytes((tmp_path / "a.pt").read_bytes())
    with pytest.raises(InvalidRequest, match=r"is a torch file; give it a name that ends in \.pt"):
        load_representations(tmp_path / "a.npz")


IMAGES = np.arange(6 * 2 * 8 * 8).reshape(6, 2, 8, 8)
ARRAYS = {
    "z1": Z[:, 0],
    "z2": IMAGES.astype(np.float16),
    "y": np.array(["cat", "dog", "eel"])[Y],
    "groups": Y,
}


def table(path):
    columns = {"z1": Z[:, 0], "z2_0": Z[:, 0], "z2_1": Z[:, 1], "y": ARRAYS["y"], "groups": Y}
    pd.DataFrame(columns).to_csv(path, index=False)


@pytest.mark.parametrize(
    ("name", "write", "d"),
    [
        ("a.npz", lambda path: np.savez(path, **ARRAYS), 128),
        ("a.csv", table, 2),
        ("a.mat", lambda path: savemat(path, ARRAYS | {"y": np.eye(3)[Y], "z2": IMAGES}), 128),
    ],
)
def test_every_format_with_vectors_images_and_half_precision(tmp_path, name, write, d):
    write(tmp_path / name)
    rows, test = load_representations(tmp_path / name)
    assert test is None
    assert rows.readouts["z1"].shape == (6, 1)
    assert rows.readouts["z2"].shape == (6, d)
    assert rows.groups is not None
    assert rows.groups.tolist() == Y.tolist()
    expected = Y if name == "a.mat" else ARRAYS["y"]
    assert rows.y[:, 0].tolist() == expected.tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [(torch.zeros(3), "has a Tensor"), ({"z1": torch.zeros(3, 1)}, "no array 'z2'"), (None, "cannot read")],
)
def test_other_torch_files_are_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "a.pt"
    path.write_bytes(b"nothing") if content is None else torch.save(content, path)
    with pytest.raises(InvalidRequest, match=message) as refused:
        load_representations(path)
    assert "\n" not in str(refused.value)
    with pytest.raises(InvalidRequest, match="cannot read"):
        load_representations(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(5)}, "groups: has shape"),
        ({"groups": np.zeros((6, 1))}, "one group per row"),
        ({"z1": [[1, 2], [3]]}, "z1: is not an array"),
        ({"y": np.array(["a", None] * 3, dtype=object)}, "values that are no labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(InvalidRequest, match=message):
        from_arrays({"z1": Z, "z2": Z, "y": Y, **change})
