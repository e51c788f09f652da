"""Kuzushiji-MNIST: ten letters of old Japanese handwriting (Clanuwat et al., 2018)."""

from stages.datasets import dataset, idx


class KMNIST(idx.IDXFiles, dataset.Dataset):
    """60,000 images for training and 10,000 for test, grey, 28 × 28 pixels."""

    torchvision_class = "KMNIST"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
    files = (
        ("train-images-idx3-ubyte", "bdb82020997e1d708af4cf47b453dcf7"),
        ("train-labels-idx1-ubyte", "e144d726b3acfaa3e44228e80efcd344"),
        ("t10k-images-idx3-ubyte", "5c965bf0a639b31b8f53240b1b52f4d7"),
        ("t10k-labels-idx1-ubyte", "7320c461ea6c1c855c0b718fb2a4b134"),
    )
