"""5,000 pictures of Fashion-MNIST that come with kvae; `scripts/make_fashion_mnist_mini.py` chose them."""

from kvae.data.named.fashion_mnist import CLASS_NAMES
from kvae.data.named.source import Source, mnist_files

DATASET = Source(
    files=mnist_files(
        4_500,
        500,
        (
            "f11f13d209e98cf52b896007020a61a7051db6e6145e30042d5cb262fca01f20",
            "e8a8466f802a13c05ae4dcb0be242f575acdc10530660ad360d4ffd99e082099",
            "040885345ebaf3c54fe05530bf5f99714033fd20155ed5b01219e3cc15721c94",
            "1aea7d2d24dc05e9744d2aebaa0c7ef20d8139df30ffdee0dc89366de417d8ba",
        ),
    ),
    num_validation=500,
    class_names=CLASS_NAMES,
    licence="mit",
    test_bits_sha256="738129dc79c9661d739039b0dcbd7e6181dad4ead0a1024ca3ba38881309e7ce",
    shipped=True,
)
