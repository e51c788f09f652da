"""Fashion-MNIST: pictures of clothes (Xiao et al., 2017)."""

from stages.datasets import dataset, idx


class FashionMNIST(idx.IDXFiles, dataset.Dataset):
    """60,000 images for training and 10,000 for test, grey, 28 × 28 pixels."""

    torchvision_class = "FashionMNIST"
    classes = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
    files = (
        ("train-images-idx3-ubyte", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        ("train-labels-idx1-ubyte", "25c81989df183df01b3e8a0aad5dffbe"),
        ("t10k-images-idx3-ubyte", "bef4ecab320f06d8554ea6380940ec79"),
        ("t10k-labels-idx1-ubyte", "bb300cfdad3c16e7a12a480ee83cd310"),
    )
