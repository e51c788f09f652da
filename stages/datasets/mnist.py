"""MNIST: handwritten digits (LeCun et al., 1998)."""

from stages.datasets import dataset, idx


class MNIST(idx.IDXFiles, dataset.Dataset):
    """60,000 images for training and 10,000 for test, grey, 28 × 28 pixels."""

    torchvision_class = "MNIST"
    classes = tuple("0123456789")
    files = (
        ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
        ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
        ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
        ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
    )
    hashes_of_content = True  # mirrors pack the files differently, npm's package holds them plain
