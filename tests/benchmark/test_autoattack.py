"""AutoAttack's own package, as this library runs it, against a closed form."""

import torch
from toys import images, labels_of, linear

from paperlib import oracle


def test_autoattack_on_a_linear_network_is_the_closed_form(peer):
    peer("pyautoattack")
    assert oracle.available() == oracle.VERSION
    W = torch.randn(10, 16, generator=torch.Generator().manual_seed(0))
    network, x = linear(W), images(12, dtype=torch.float32)
    y = labels_of(network, x)
    state = torch.get_rng_state()
    flags = oracle.autoattack(network, x, y, eps=0.03)
    assert torch.equal(torch.get_rng_state(), state)
    steps = (W[y][:, None] - W[None]).abs().sum(2)
    Z = network(x).detach()
    distance = torch.where(steps > 0, (Z.gather(1, y[:, None]) - Z) / steps, torch.inf).amin(1)
    assert torch.equal(flags, distance > 0.03) and 0 < int(flags.sum()) < 12
