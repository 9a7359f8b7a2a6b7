"""The parts of the indicator that a report shows; apart from what measures them, for a page needs no torch."""

# what each is called, and whether it is a length in input space, to be read in the data's own unit
PARTS = {
    "S": ("margin S", False), "mean_J": ("slope, mean |J|", False), "curvature": ("curvature at scale 0.1", False),
    "linear_distance": ("distance if S were linear, S / ‖J‖₁", True),
}  # fmt: skip
