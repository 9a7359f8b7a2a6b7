"""The panels of a figure from plain settings, and the groups whose numbers are taken."""

import pytest

from paperlib import panels


def test_panels_have_defaults_and_groups_take_the_first():
    shown = panels.panels([{}, {"role": "ours"}, {"role": "ours", "objective": "loss"}], ["natural", "ours"])
    assert [panel.role for panel in shown] == ["natural", "ours", "ours"]
    groups = panels.measured(shown, ["role", "direction"])
    assert list(groups) == ["natural/adversarial", "ours/adversarial"]
    assert groups["ours/adversarial"].objective == "decision"


@pytest.mark.parametrize(("entry", "sentence"), [
    ({"model": "ours"}, "panel field model is unknown; allowed are role, space, objective"),
    ({"role": "minmax"}, "panel field role is 'minmax'; allowed are natural, ours"),
    ({"space": "logit"}, "panel field space is 'logit'; allowed are input, parameter"),
    ({"direction": "up"}, "panel field direction is 'up'; allowed are random, adversarial"),
    ({"climbs": "S"}, "panel field climbs is 'S'; allowed are cross_entropy, least_likely, cw"),
])  # fmt: skip
def test_wrong_panels_are_refused(entry, sentence):
    with pytest.raises(ValueError, match=sentence):
        panels.panels([entry], ["natural", "ours"])
