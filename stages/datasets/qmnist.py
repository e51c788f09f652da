"""QMNIST: MNIST rebuilt from its source (Yadav and Bottou, 2019)."""

from stages.datasets import dataset, idx


class QMNIST(idx.IDXFiles, dataset.Dataset):
    """60,000 images for training and 10,000 for test, grey, 28 × 28 pixels."""

    torchvision_class = "QMNIST"
    classes = tuple("0123456789")
    files = (
        ("qmnist-train-images-idx3-ubyte", "ed72d4157d28c017586c42bc6afe6370"),
        ("qmnist-train-labels-idx2-int", "0058f8dd561b90ffdd0f734c6a30e5e4"),
        ("qmnist-test-images-idx3-ubyte", "1394631089c404de565df7b7aeaf9412"),
        ("qmnist-test-labels-idx2-int", "5b5b05890a5e13444e108efe57b788aa"),
    )
    test_images = 10000  # MNIST's test images; the 50,000 that MNIST left out follow
