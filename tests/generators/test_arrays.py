import json
import math

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import pidlab
from pidlab import InvalidRequest
from pidlab.generators import load_generator
from pidlab.generators.arrays import Arrays, export_arrays

ROWS = 400


@pytest.fixture
def rows():
    """Rows whose x1 is their index."""
    return {
        "x1": np.arange(ROWS, dtype=np.float32)[:, None],
        "x2": np.zeros((ROWS, 3)),
        "y": np.arange(ROWS) % 4,
    }


@pytest.fixture
def written(rows, tmp_path):
    def write(**changes):
        path = tmp_path / "rows.npz"
        np.savez(path, **{k: v for k, v in {**rows, **changes}.items() if v is not None})
        return str(path)

    return write


def test_splits_are_disjoint_and_drawn_without_replacement(written):
    made = Arrays(written())
    seen = {
        split: made.sample(made.rows(split), 1, split).x1[:, 0].int().tolist()
        for split in ("train", "eval", "probe", "validation", "test")
    }
    assert all(len(set(rows)) == len(rows) for rows in seen.values())
    assert sorted(seen["train"] + seen["probe"] + seen["validation"] + seen["test"]) == list(range(ROWS))
    assert sorted(seen["eval"]) == sorted(seen["probe"] + seen["validation"] + seen["test"])


def test_large_samples_are_drawn_with_replacement(written):
    made = Arrays(written())
    sample = made.sample(5 * ROWS, 1, "train")
    assert sample.x1.shape == (5 * ROWS, 1)
    assert len(torch.unique(sample.x1)) <= made.rows("train")


def test_rows_stay_together(written):
    sample = Arrays(written()).sample(50, seed=3)
    assert torch.equal(sample.x1[:, 0].long() % 4, sample.y)


def test_truth_is_unknown(written):
    made = Arrays(written())
    assert made.truth.how == "unknown"
    assert math.isnan(made.truth.total)
    assert made.target_specs["y"].entropy == 2.0
    assert made.target_specs["y"].prior == (0.25,) * 4


def test_columns_of_y_are_targets(written, rows):
    made = Arrays(written(y=np.stack([rows["y"], rows["y"] // 2], axis=1)))
    assert list(made.target_specs) == ["y0", "y1"]
    assert made.sample(10).targets["y1"].max() <= 1


def test_contents_identify_the_file(written, rows):
    one = Arrays(written())
    other = Arrays(written(x2=rows["x2"] + 1))
    assert one.file == other.file
    assert one.contents != other.contents


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"x2": None}, "has no array 'x2': expected x1, x2 and y"),
        ({"x1": np.full((ROWS, 1), np.nan)}, "x1 has values that are not finite"),
        ({"x1": np.full((ROWS, 1), 1e300)}, "x1 has values that are too large for float32"),
        ({"x1": np.zeros(())}, r"x1 is float64 of shape \(\)"),
        ({"x1": np.zeros((ROWS, 0))}, r"x1 is float64 of shape \(400, 0\)"),
        ({"x1": np.zeros((ROWS, 2), complex)}, "x1 is complex128"),
        ({"x1": np.array([["a"]] * ROWS)}, "x1 is <U1"),
        ({"y": np.zeros(ROWS)}, "single class"),
        ({"y": np.linspace(0, 1, ROWS)}, "not whole numbers, .* divide a continuous target into bins"),
        ({"y": np.full(ROWS, np.nan)}, "y has values that are not finite"),
        ({"y": np.zeros((ROWS, 2, 2), int)}, r"y is int64 of shape \(400, 2, 2\)"),
        ({"y": np.zeros(ROWS - 1, int)}, "x1 400, x2 400, y 399"),
        ({"x1": np.array([[{}]] * ROWS)}, "it has Python objects, which are never loaded"),
    ],
)
def test_invalid_arrays_are_refused(written, changes, why):
    with pytest.raises(InvalidRequest, match=why) as error:
        Arrays(written(**changes))
    assert "\n" not in str(error.value)


def test_unreadable_files_are_refused(tmp_path):
    (tmp_path / "text.npz").write_text("nothing")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "few.npz", x1=np.zeros((9, 1)), x2=np.zeros((9, 1)), y=np.zeros(9, int))
    for name, why in (
        ("none.npz", "No such file"),
        ("text.npz", "cannot read"),
        ("one.npy", "a .npy file has one array; save x1, x2 and y"),
        ("few.npz", "9 rows, expected 100 or more"),
    ):
        with pytest.raises(InvalidRequest, match=why):
            load_generator(f"arrays({str(tmp_path / name)!r})")
    with pytest.raises(InvalidRequest, match="expected the name of"):
        load_generator("arrays(3)")


def test_exported_arrays_can_be_read_and_contain_the_truth(tmp_path):
    generator = load_generator("symile(0.3)")
    made = export_arrays(generator, 500, seed=4)
    np.savez(tmp_path / "out.npz", **made)
    with np.load(tmp_path / "out.npz") as archive:  # without pickles
        truth = json.loads(str(archive["truth"]))
        assert truth["unique1"] == pytest.approx(generator.truth.unique1)
        assert truth["targets"]["y"]["information"]["x1x2"] == pytest.approx(generator.truth.total)
        assert int(archive["seed"]) == 4
        factors = dict(zip(archive["factor_names"].tolist(), archive["factors"].T, strict=True))
        assert (factors["y"] == archive["y"]).all()
        assert set(factors) == {"x1", "x2", "y"}
    again = Arrays(str(tmp_path / "out.npz")).sample(20, seed=1)
    assert set(map(tuple, again.x1.tolist())) <= set(map(tuple, made["x1"].tolist()))


def test_several_targets_are_exported_as_columns():
    made = export_arrays(load_generator("disentangledssl(3, 0.1, 4, 8)"), 50)
    assert made["y"].shape == (50, 3)
    assert made["targets"].tolist() == ["redundant", "unique1", "unique2"]
    assert made["factors"].shape == (50, 12)
    assert made["factor_names"][0] == "shared[0]"


def test_a_torch_data_set():
    generator = load_generator("synib")
    data = pidlab.dataset(generator, 64, seed=2)
    x1, x2, y = next(iter(DataLoader(data, batch_size=64, generator=torch.Generator())))
    drawn = generator.sample(64, 2, "train")
    assert torch.equal(x1, drawn.x1)
    assert torch.equal(x2, drawn.x2)
    assert torch.equal(y, drawn.y)
