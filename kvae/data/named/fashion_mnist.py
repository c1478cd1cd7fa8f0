"""Fashion-MNIST: 70,000 grey pictures of Zalando's clothes in ten classes.

Reference: Xiao, Rasul and Vollgraf, arXiv 1708.07747.
"""

from kvae.data.named.source import Source, mnist_files

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

DATASET = Source(
    files=mnist_files(
        60_000,
        10_000,
        (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        ),
    ),
    num_validation=10_000,
    class_names=CLASS_NAMES,
    licence="mit",
    test_bits_sha256="5a9877a0a97d088a030417e52548c32331d4f91f9d45f0098c2157a9edeabbbd",
    urls=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    ),
    debian_package="dataset-fashion-mnist",
)
