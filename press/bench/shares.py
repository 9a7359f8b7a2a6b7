"""Where our time goes: how much of it torch's convolutions and matrix products take, which no loop around them can spare."""

from torch.profiler import ProfilerActivity, profile

from press.bench import rows

# of torch, on a processor
PRODUCTS = (
    "aten::mkldnn_convolution", "aten::convolution_backward", "aten::_slow_conv2d_forward", "aten::_slow_conv2d_backward",
    "aten::mm", "aten::addmm", "aten::bmm", "aten::mkldnn_linear",
)  # fmt: skip
MADE = ("bim", "half", "worst", "parameter_surface", "input_surface", "hessian", "estimates")


def shares() -> dict[str, float]:
    """The share of products (percent) in the processor time of our work, by row, for the network Ours."""
    found = {}
    for row in rows.ROWS:
        if row.key in MADE:
            (case,) = (case for case in row.cases() if case.name == "ours")
            case.ours()
            with profile(activities=[ProfilerActivity.CPU]) as made:
                case.ours()
            found[row.key] = share({event.key: event.self_cpu_time_total for event in made.key_averages()})
    return found


def share(taken: dict[str, float]) -> float:
    """Percent of all time that ``PRODUCTS`` take, from the time of every operation by itself.

    >>> share({"aten::mm": 30.0, "aten::relu": 10.0})
    75.0
    """
    return 100 * sum(taken.get(name, 0.0) for name in PRODUCTS) / sum(taken.values())
