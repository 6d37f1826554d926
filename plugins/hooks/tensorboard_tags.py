"""The tags of TensorBoard: which there are, and where they are shown."""

from collections.abc import Mapping, Sequence

from emprot_core.contracts import Tested

FIRST = {"train/total_loss": "skill/loss/train", "val/total_loss": "skill/loss/val"}
"""Written again beside the gains: TensorBoard orders cards by the alphabet, and these belong on the first screen."""
LAYOUT = {
    "Is it better than the best baseline?": {
        "gain in bits; the baseline is 0": ["Multiline", [r"skill/gain_over_best/.*"]],
        "NLL in bits": ["Multiline", [r"val/nll_bits/.*"]],
    },
    "Is it learning?": {
        "loss in nats": ["Multiline", [r"skill/loss/.*"]],
        "accuracy": ["Multiline", [r"val/token_accuracy", r"val/accuracy/.*"]],
        "gradient norm": ["Multiline", [r"train/gradient_norm"]],
    },
    "How fast is it?": {"tokens a second": ["Multiline", [r"time/tokens_per_s"]]},
}
"""The page of custom scalars: groups, charts, and the tags in them as regular expressions."""
TESTED = ("gain_over_best", "gain_low", "gain_high", "nll_bits")


def gains_of(val_logs: Mapping[str, float], bar: Sequence[float | None]) -> dict[str, float]:
    """The gain over the best baseline on the validation split, in bits, where metrics.HorizonNLL gives the NLL."""
    return {
        f"skill/gain_over_best/h{step}": bits - own
        for step, bits in enumerate(bar, 1)
        if bits is not None and (own := val_logs.get(f"val/nll_bits/h{step}")) is not None
    }


def test_scalars(tested: Tested) -> dict[str, float]:
    """By horizon the NLL on the test split, the gain over the best baseline, and the ends of its interval."""
    scores = tested.scores or {}
    gain = scores.get("gains", {}).get(scores.get("best_baseline"), {})
    values_of = [gain.get("bits"), gain.get("low"), gain.get("high"), scores.get("model", {}).get("nll_bits")]
    return {
        f"test/{what}/h{step}": value
        for what, values in zip(TESTED, values_of, strict=True)
        for step, value in enumerate(values or (), 1)
        if value is not None
    }
