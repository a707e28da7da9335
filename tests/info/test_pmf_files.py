import json

import numpy as np
import pytest

from pidlab import InvalidRequest
from pidlab.info import gate
from pidlab.info.pmf_files import load_pmf, read_pmf

AND = "x1,x2,y,p\n0,0,0,0.25\n0,1,0,0.25\n1,0,0,0.25\n1,1,1,0.25\n"


def write(tmp_path, name, text):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_csv_with_arbitrary_symbols(tmp_path):
    text = "y, p, x2, x1, note\nno,.25,red,a,-\nno,.25,blue,a,-\nno,.25,red,b,-\nyes,.25,blue,b,-\n"
    table = read_pmf(write(tmp_path, "and.csv", text))
    assert table.symbols == (("a", "b"), ("blue", "red"), ("no", "yes"))
    assert np.array_equal(table.values[:, ::-1], gate("and"))


def test_numbers_are_ordered_by_value(tmp_path):
    rows = "".join(f"{i},0,0,1\n" for i in (10, 9, 1))
    table = read_pmf(write(tmp_path, "t.csv", "\ufeffx1,x2,y,p\n" + rows), normalize=True)
    assert table.symbols[0] == ("1", "9", "10")


@pytest.mark.parametrize(
    "document",
    [
        gate("and").tolist(),
        [[*map(int, cell), 0.25] for cell in np.argwhere(gate("and"))],
        {"pmf": [[*map(int, cell), 0.25] for cell in np.argwhere(gate("and"))], "shape": [2, 2, 2]},
        [
            dict(zip(("x1", "x2", "y"), map(int, cell), strict=True), p=0.25)
            for cell in np.argwhere(gate("and"))
        ],
    ],
    ids=["nested", "rows", "object", "named"],
)
def test_json_forms(tmp_path, document):
    table = read_pmf(write(tmp_path, "and.json", json.dumps(document)))
    assert np.array_equal(table.values, gate("and"))


def test_npy(tmp_path):
    np.save(tmp_path / "and.npy", gate("and"))
    assert np.array_equal(read_pmf(tmp_path / "and.npy").values, gate("and"))
    np.save(tmp_path / "counts.npy", (12 * gate("and")).astype(int))
    assert np.array_equal(read_pmf(tmp_path / "counts.npy", normalize=True).values, gate("and"))


def npy(array, **how):
    import io

    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "x1,x2,p\n0,0,1\n", "no column y "),
        ("t.csv", "x1,x2,y,p,p\n0,0,1,1,0\n", "column p occurs twice"),
        ("t.csv", "", "it is empty"),
        ("t.csv", "x1,x2,y,p\n", "no rows"),
        ("t.csv", "x1,x2,y,p\n0,0,,1\n", "line 2: y is missing;"),
        ("t.csv", "x1,x2,y,p\n0,NA,1,1\n", r"line 2: x2 is missing \(NA\)"),
        ("t.csv", "x1,x2,y,p\n0,0\n", "line 2 has 2 fields, the header 4"),
        ("t.csv", "x1,x2,y,p\n0,0,0,1,251\n", "line 2 has 5 fields, the header 4; quote"),
        ("t.csv", 'x1,x2,y,p\n0,0,0,"1,251"\n', "line 2: p = '1,251' is not a number"),
        ("t.csv", "x1;x2;y;p\n0;0;0;0,25\n", "line 2: p = '0,25' is not a number; write it as 0.25"),
        ("t.csv", AND.split("\n", 1)[1], "first line holds data; add the header line x1,x2,y,p"),
        ("t.csv", AND.replace(",p", ",count"), "no column p .* name the columns"),
        ("t.csv", AND + "1.0,1,1,0\n", "1, 1, 1 is given twice"),
        ("t.json", "[[0, 0, null, 1]]", r"row 1: y is missing \(None\)"),
        ("t.csv", "x1,x2,y,p\n0,0,0,half\n", "line 2: p = 'half' is not a number"),
        ("t.csv", "x1,x2,y,p\n0,0,0,nan\n", "is not finite"),
        ("t.csv", AND.replace("0.25", "3"), "sum to 12, not 1 .*--normalize"),
        ("t.csv", AND + "1,1,0,-0.1\n", "-0.1 at .* is negative"),
        ("t.csv", AND + "1,1,1,0\n", "1, 1, 1 is given twice"),
        ("t.csv", npy(gate("and")), "not a text file|no column"),
        ("t.json", AND, "not JSON"),
        ("t.json", "{}", 'without "pmf"'),
        ("t.json", "3", "expected rows"),
        ("t.json", "[[0.5, 0.5]]", r"shape \(1, 2\)"),
        ("t.json", "[[[0.5], [0.5, 0]]]", "not an array"),
        ("t.json", '[{"x1": 0, "x2": 0, "p": 1}]', "a row without 'y'"),
        ("t.json", '[[0, 0, 0, "half"]]', "row 1: p = 'half'"),
        ("t.json", f"[[0, 0, 0, {10**400}]]", "row 1: p is beyond"),
        ("t.json", f"[[[{10**400}]]]", "not an array"),
        ("t.json", f"[[[{'1' * 5000}]]]", "numbers too long"),
        ("t.json", 10**5 * "[", "too deep"),
        ("t.npy", AND, "not a .npy file"),
        ("t.npy", b"", "not a .npy file"),
        ("t.npy", npy(np.array([{}], dtype=object), allow_pickle=True), "never unpickled"),
        ("t.npy", npy(np.array(["a"])), "not an array of real numbers"),
        ("t.npy", npy(np.full((2, 2, 2), 0.125 + 1j)), "not an array of real numbers"),
        ("t.npy", npy(np.full((1, 1, 1), 1, "datetime64[s]")), "not an array of real numbers"),
        ("t.npy", npy(np.full((2, 2), 0.25)), r"shape \(2, 2\), expected 3 axes"),
        ("t.npy", npy(np.full((1, 2, 2, 2), 0.125)), r"expected 3 axes"),
        ("t.txt", AND, "name it .csv, .json or .npy"),
    ],
)
def test_a_file_without_a_pmf_is_refused_by_name(tmp_path, name, text, why):
    path = write(tmp_path, name, text)
    with pytest.raises(InvalidRequest, match=why) as caught:
        read_pmf(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InvalidRequest, match="No such file"):
        read_pmf(tmp_path / "none.csv")
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(InvalidRequest, match="directory"):
        read_pmf(tmp_path / "folder.npy")


def test_load_pmf_accepts_gates_and_files(tmp_path):
    assert np.array_equal(load_pmf("syn").values, gate("xor"))
    assert np.array_equal(load_pmf(str(write(tmp_path, "and.csv", AND))).values, gate("and"))
    with pytest.raises(InvalidRequest, match="unknown gate 'xr': did you mean 'xor'"):
        load_pmf("xr")
    with pytest.raises(InvalidRequest, match="No such file"):
        load_pmf("xor.csv")


def test_numbers_of_equal_value_are_one_symbol(tmp_path):
    text = "x1,x2,y,p\n0,0,0,.25\n0.0,1,1,.25\n1,0,1,.25\n1.0,1,0,.25\n"
    table = read_pmf(write(tmp_path, "t.csv", text))
    assert table.symbols[0] == ("0", "1")
    assert np.array_equal(table.values, gate("xor"))
    document = [[0, 0, 0, 0.25], [0.0, 1, 1, 0.25], [1, 0, 1, 0.25], [1, 1.0, 0, 0.25]]
    assert np.array_equal(read_pmf(write(tmp_path, "t.json", json.dumps(document))).values, gate("xor"))


@pytest.mark.parametrize(
    "symbols", [("007", "7"), ("9007199254740993", "9007199254740992"), ("1e3", "1e4"), ("a", "A")]
)
def test_different_symbols_stay_apart(tmp_path, symbols):
    text = "".join(f"{symbol},0,0,.5\n" for symbol in symbols)
    table = read_pmf(write(tmp_path, "t.csv", "x1,x2,y,p\n" + text))
    assert set(table.symbols[0]) == set(symbols)


@pytest.mark.parametrize("separator", [";", "\t", ", "])
def test_separators_are_detected(tmp_path, separator):
    path = write(tmp_path, "and.csv", AND.replace(",", separator))
    assert np.array_equal(read_pmf(path).values, gate("and"))
    path = write(tmp_path, "and.tsv", AND.replace(",", separator))
    assert np.array_equal(read_pmf(path).values, gate("and"))


def test_columns_are_selected_by_name(tmp_path):
    path = write(tmp_path, "t.csv", AND.replace("x1,x2,y,p", "left,right,target,mass"))
    assert np.array_equal(read_pmf(path, columns=("left", "right", "target", "mass")).values, gate("and"))
    path = write(tmp_path, "t.csv", AND.replace("x1,x2,y", "left,right,target"))
    assert np.array_equal(read_pmf(path, columns=("left", "right", "target")).values, gate("and"))
