"""What things are called in the book, and how they are told apart: labels, colours, markers."""

METHODS = {
    "natural": "Natural", "advtrain": "AdvTrain", "crossentropy": "CrossEntropy", "ours": "Ours",
    "ours+advtrain": "Ours+AdvTrain", "minmax": "MinMax",
}  # fmt: skip
DATA = {
    "digits": "scikit-learn's digits", "digits-rgb": "scikit-learn's digits over photographs", "mnist": "MNIST",
    "cifar10": "CIFAR-10",
}  # fmt: skip
ATTACKS = {"fgsm": "FGSM", "bim": "BIM", "cw": "C&W"}
CLASSES = {
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
# Okabe and Ito's palette, readable by colour-blind people; one colour a role all through the book
COLOURS = {
    "natural": "#D55E00", "robust": "#0072B2", "ours": "#009E73", "minmax": "#0072B2", "advtrain": "#E69F00",
    "crossentropy": "#CC79A7", "ours+advtrain": "#56B4E9", "random": "#666666", "adversarial": "#D55E00",
    "l1": "#009E73", "l2": "#0072B2", "squared": "#CC79A7", "linf": "#E69F00",
}  # fmt: skip
MARKERS = {"natural": "o", "advtrain": "s", "crossentropy": "^", "ours": "D", "ours+advtrain": "v", "minmax": "X"}
