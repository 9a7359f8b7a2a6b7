"""What all pictures share: units, scales that end at round numbers, and bytes that are the same in every run."""

import re

import matplotlib.pyplot as plt
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from paperlib.drawings import style
from paperlib.drawings.maps import rounded


@given(value=st.floats(1e-4, 1e6))
def test_scales_end_at_round_numbers_not_far_above(value):
    top = rounded(value)
    assert value <= top * (1 + 1e-6) and top <= 1.51 * value
    assert re.fullmatch(r"[1-8](\.5)?", f"{top / 10 ** np.floor(np.log10(top * (1 + 1e-12))):g}")


def test_a_picture_has_its_alternative_text_and_no_date_or_version():
    made = []
    for _ in range(2):
        with style.book():
            figure, ax = plt.subplots()
            ax.plot([0, 1])
        made.append(style.shown(figure, alt="A line"))
    assert made[0].data == made[1].data and made[0].alt == "A line"
    assert made[0].data.startswith(b"\x89PNG") and b"Software" not in made[0].data
    assert plt.get_fignums() == []
