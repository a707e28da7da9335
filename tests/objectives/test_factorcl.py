"""FactorCL against its released code's numbers, and against the paper's readings of it."""

import pytest
import torch
from golden_numbers import golden_cases

from pidlab import Atoms, load_objective
from pidlab.bench import step_cost
from pidlab.defaults import Training
from pidlab.encoders import Encoders, Linear, Vector, mlp
from pidlab.objectives import bounds
from pidlab.objectives.bounds import Concat
from pidlab.objectives.factorcl import TERMS, FactorCLSSL, FactorCLSup
from pidlab.objectives.objective import Batch, represent
from pidlab.training import Member, train
from pidlab.training.cohort import build

TOLERANCE = {torch.float64: 1e-8, torch.float32: 1e-4}
precisions = pytest.mark.parametrize("dtype", list(TOLERANCE), ids=["float64", "float32"])
# The released names of our terms, in the order in which they are summed.
RELEASED = {
    "nce_12": "infonce_x1x2",
    "club_12": "club_x1x2",
    "nce_1y": "infonce_x1y",
    "nce_2y": "infonce_x2y",
    "nce_12_given_y": "infonce_x1x2_cond",
    "club_12_given_y": "club_x1x2_cond",
}
SIGN = {"nce": -1.0, "club": 1.0}


def set_linear(layer, weight, bias=None):
    """Copies an affine layer stored as (out, in); what ours pads stays zero."""
    weight = torch.as_tensor(weight, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[: weight.shape[1], : weight.shape[0]] = weight.mT
        if bias is not None:
            layer.bias.zero_()
            layer.bias[: len(bias)] = torch.as_tensor(bias, dtype=torch.float64)


def set_mlp(network, state, name):
    for place, layer in enumerate(network):
        if isinstance(layer, Linear):
            set_linear(layer, state[f"{name}.{place}.weight"], state[f"{name}.{place}.bias"])


def set_critic(critic, state, name, first_width, *, swapped):
    """Splits the first layer; upper-bound critics read their second argument first."""
    weight = torch.tensor(state[f"{name}.0.weight"], dtype=torch.float64)
    cut = weight.shape[1] - first_width if swapped else first_width
    parts = (weight[:, cut:], weight[:, :cut]) if swapped else (weight[:, :cut], weight[:, cut:])
    set_linear(critic.first, parts[0], state[f"{name}.0.bias"])
    set_linear(critic.second, parts[1])
    for place in (0, 2):
        layer = critic.rest[place]
        set_linear(layer, state[f"{name}.{place + 2}.weight"], state[f"{name}.{place + 2}.bias"])


def released(case, cls, dtype, **options):
    """Our objective in the released shape, with the case's weights."""
    state, widths = case["inputs"]["state"], case["inputs"]
    with torch.random.fork_rng():
        encoders = Encoders([Vector(5)] * 2, {"y": widths.get("y_ohe_dim", 3)}, dim=4, hidden=6, layers=3)
        objective = cls(encoders, critic="concat", heads="term", sum="appendix", **options).double()
        objective.raw = torch.nn.ModuleDict()
        for i, tower in enumerate(encoders):
            set_mlp(tower, state, f"backbones.{i}")
        for term in TERMS:
            theirs = RELEASED[term.name]
            for i in objective.heads[term.name]:
                head = mlp(4, 4, 4, 4).double()
                one = len(term.modalities) == 1
                set_mlp(head, state, f"linears_{theirs}" if one else f"linears_{theirs}.{i}")
                objective.heads[term.name][i] = head
            inputs = len(state[f"{theirs}._f.0.weight"][0])
            first = first_width(objective, term)
            critic = Concat(first, inputs - first, hidden=6).double()
            set_critic(critic, state, f"{theirs}._f", first, swapped=term.bound == "club")
            if inputs - first == 1:  # a label that enters as one real number is no option of ours
                objective.raw[term.name] = critic
                critic = Concat(4, 3, hidden=6).double()
            objective.critics[term.bound][term.name] = critic
    return objective.to(dtype)


def first_width(objective, term):
    if isinstance(objective, FactorCLSSL):
        return 8 if term.given else 4
    return 4 + 3 * term.given


def tensors(case, dtype):
    return {k: torch.tensor(v, dtype=dtype) for k, v in case["inputs"].items() if k[0] == "x"}


def norm(grads):
    return float(torch.stack([g.square().sum() for g in grads if g is not None]).sum().sqrt())


def sup(case, dtype):
    objective = released(case, FactorCLSup, dtype, conditional="concat")
    x, y = tensors(case, dtype), torch.tensor(case["inputs"]["y"]).flatten().long()
    batch = Batch((x["x1"], x["x2"]), y=y, targets={"y": y})

    def slip(term, z):  # labels enter as a raw number
        z_i = z[term.name][term.modalities[0]]
        return bounds.infonce(objective.raw[term.name](z_i, y.to(dtype)[:, None]))

    return objective, batch, {"nce_1y": slip, "nce_2y": slip}, {}


def ssl(case, dtype):
    objective = released(case, FactorCLSSL, dtype)
    x = tensors(case, dtype)
    views = (x["x1_aug"], x["x2_aug"])
    batch = Batch((x["x1"], x["x2"]), views=(views, views))

    def sides(term, z):  # the conditional upper bound repeats the code that was not augmented
        return [torch.cat([z[term.name][i].chunk(2)[0]] * 2, dim=-1) for i in (0, 1)]

    def slip(term, z):
        return bounds.club(objective.critics["club"][term.name](*sides(term, z)))

    def learning(term, z):
        return bounds.infonce(objective.critics["club"][term.name](*sides(term, z)))

    return objective, batch, {"club_12_given_y": slip}, {"club_12_given_y": learning}


CASES = [
    pytest.param(sup, golden_cases("factorcl_sup")[0].values[0], id="sup"),
    pytest.param(ssl, golden_cases("factorcl_ssl")[0].values[0], id="ssl"),
]


@precisions
@pytest.mark.parametrize(("variant", "case"), CASES)
def test_released_numbers(variant, case, dtype):
    objective, batch, slips, learning_slips = variant(case, dtype)
    close = {"rel": TOLERANCE[dtype], "abs": TOLERANCE[dtype]}
    by_name = {term.name: term for term in TERMS}
    values, z = objective.terms(batch), objective._encode(batch)
    values |= {name: slip(by_name[name], z) for name, slip in slips.items()}
    signed = {RELEASED[name]: SIGN[by_name[name].bound] * value for name, value in values.items()}
    outputs = case["outputs"]
    for name, expected in zip(outputs["term_order"], outputs["terms"], strict=True):
        assert float(signed[name].detach()) == pytest.approx(expected, **close)
    total = sum(signed.values())
    assert float(total.detach()) == pytest.approx(outputs["total"], **close)

    grads = dict(
        zip(
            [name for name, _ in objective.named_parameters()],
            torch.autograd.grad(total, list(objective.parameters()), allow_unused=True),
            strict=True,
        )
    )

    def of(prefix):
        return norm(g for name, g in grads.items() if name.startswith(prefix))

    assert of("encoders.towers") == pytest.approx(outputs["encoder_grad_norm"], **close)
    for i in (0, 1):
        assert of(f"encoders.towers.{i}") == pytest.approx(outputs[f"encoder{i + 1}_grad_norm"], **close)
        bias = grads[f"encoders.towers.{i}.0.bias"][:6].tolist()
        assert bias == pytest.approx(outputs[f"grad_total_first_bias_encoder{i + 1}"], **close)
    for term in TERMS:
        theirs = RELEASED[term.name]
        assert of(f"heads.{term.name}.") == pytest.approx(outputs["head_grad_norms"][theirs], **close)
        expected = outputs["critic_grad_norms"][theirs]
        place = "raw" if term.name in objective.raw else f"critics.{term.bound}"
        assert of(f"{place}.{term.name}.") == pytest.approx(expected, **close)

    learning = {
        term.name: bounds.infonce(objective.critics["club"][term.name](*objective._sides(term, z, batch)))
        for term in TERMS
        if term.bound == "club"
    }
    if not learning_slips:
        expected = float(-sum(learning.values()).detach())
        assert float(objective.club_loss(batch).detach()) == pytest.approx(expected, **close)
    learning |= {name: slip(by_name[name], z) for name, slip in learning_slips.items()}
    loss = -sum(learning.values())
    assert float(loss.detach()) == pytest.approx(outputs["learning_loss"], **close)
    for name in learning:
        parameters = list(objective.critics["club"][name].parameters())
        got = norm(torch.autograd.grad(loss, parameters, retain_graph=True))
        assert got == pytest.approx(outputs["learning_critic_grad_norms"][RELEASED[name]], **close)


def model(reference, seed=0):
    return build(load_objective(reference), Member(Atoms(), seed), Training(hidden=16), "cpu")


@pytest.mark.parametrize("name", ["factorcl-sup", "factorcl-ssl"])
def test_the_six_terms_add_up_to_s_u1_and_u2(name):
    # A table of our own: what S, U1 and U2 are made of (Algorithm 2), and what the appendix leaves.
    parts = {
        "S": {"nce_12": 1, "club_12_given_y": -1},
        "U1": {"nce_1y": 1, "club_12": -1, "nce_12_given_y": 1},
        "U2": {"nce_2y": 1, "club_12": -1, "nce_12_given_y": 1},
    }
    data = Atoms().sample(32, seed=1)
    view = Atoms().view(data, "task", seed=2)
    batch = Batch(data.x, views=(view.x, view.x), y=data.y, targets=data.targets)
    values = {k: float(v) for k, v in model(name).requires_grad_(False).terms(batch).items()}
    expected = sum(weight * values[k] for part in parts.values() for k, weight in part.items())
    assert float(model(name).requires_grad_(False)(batch)) == pytest.approx(-expected, rel=1e-5)
    appendix = model(f"{name}(sum='appendix')").requires_grad_(False)(batch)
    once = sum(SIGN[t.bound] * values[t.name] for t in TERMS)
    assert float(appendix) == pytest.approx(once, rel=1e-5)


def test_ourcl_is_the_same_fit_read_elsewhere():
    x = Atoms().sample(16, seed=3).x
    for variant in ("sup", "ssl"):
        settings = Training(steps=4, batch=32, hidden=16)
        members = [Member(Atoms(), 0), Member(Atoms(), 1)]
        factor, ours = (
            train(load_objective(f"{kind}-{variant}"), members, settings) for kind in ("factorcl", "ourcl")
        )
        assert torch.equal(factor.losses, ours.losses)
        stacked = [torch.stack([xi, xi]) for xi in x]
        assert torch.equal(factor.represent(stacked)["encoder"], ours.represent(stacked)["z12"])


def test_readouts_are_the_heads_of_their_factor():
    x = Atoms().sample(16, seed=3).x
    z = represent(model("factorcl-sup").requires_grad_(False), x)
    assert {name: t.shape[1] for name, t in z.items()} == {
        "z1": 8, "z2": 8, "z12": 16, "shared": 8, "unique": 8, "encoder": 16
    }  # fmt: skip
    torch.testing.assert_close(z["z1"], torch.cat([z["shared"][:, :4], z["unique"][:, :4]], dim=1))
    for keep, expected in (("shared", z["shared"]), ("unique1", z["unique"][:, :4])):
        kept = represent(model(f"factorcl-sup(keep='{keep}')").requires_grad_(False), x)
        assert torch.equal(kept["z12"], expected)
    per_term = represent(model("factorcl-sup(heads='term')").requires_grad_(False), x)
    assert per_term["z12"].shape[1] == 40  # five heads of half a code for each modality


def test_a_step_costs_less_than_half_of_the_released_one():
    # Released (batch 256, hidden 512, embedding 128, two classes): 1.16 TFLOP by torch's counter, nearly
    # all of it in critics on n² pairs.
    settings = Training(batch=256, hidden=512, dim=128, layers=3)
    member = Member(Atoms(redundant=1, unique1=0, unique2=0, synergy=0, width=100), 0)
    concat = "factorcl-sup(critic='concat', conditional='concat', heads='term', sum='appendix')"
    assert step_cost(load_objective(concat), member, settings, "meta")[0] <= 1.16e12 / 2
    assert step_cost(load_objective("factorcl-sup"), member, settings, "meta")[0] <= 1.16e12 / 30


def test_each_phase_moves_its_own_critics():
    fitted = model("factorcl-ssl")
    main, club = fitted.phases
    moved = {n for n, _ in fitted.named_parameters() if main.moves(n)}
    lowered = {n for n, _ in fitted.named_parameters() if club.moves(n)}
    assert lowered
    assert not moved & lowered
    assert all(n.startswith("critics.club.") for n in lowered)
    assert moved | lowered >= {n for n, _ in fitted.named_parameters() if "encoders.joint" not in n}


@pytest.mark.parametrize(
    "reference",
    [f"factorcl-sup({option}='x')" for option in ("critic", "sum", "heads", "keep", "conditional")],
)
def test_options_are_words(reference):
    with pytest.raises(ValueError, match="'x': expected one of"):
        model(reference)


def test_a_code_of_one_number_has_no_halves():
    with pytest.raises(ValueError, match="dim of 2 or more"):
        build(load_objective("factorcl-ssl"), Member(Atoms(), 0), Training(dim=1), "cpu")
