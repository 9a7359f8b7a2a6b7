"""Decision surfaces in input space: a point and a function go in, a geometry comes out.

After Yu, Liu, Wang and Chen, *Interpreting Adversarial Robustness: A View from Decision Surface in
Input Space* (2018). Inputs are images in [0, 1], models return logits, labels are integers.
"""

__version__ = "0.1.0"


def __getattr__(name: str):
    # torch takes seconds to load, which no other use of the package should wait for
    if name == "report":
        from paperlib.reporting.report import report

        return report
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
