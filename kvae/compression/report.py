"""What `kvae compress` says of a file, as text."""

from pathlib import Path

from kvae.compression.compression import Compressed


def text(out: Path, found: Compressed) -> str:
    """Lines about a file: its bytes, and what the model says that they should be.

    Args:
        out: the file.
        found: what `compress` returned.
    """
    has_bits_back = found.coding == "bits-back"
    cost = found.rate_bits_per_dim if has_bits_back else found.cross_entropy_bits_per_dim
    rows = [
        ("distortion", found.distortion_bits_per_dim, ""),
        ("KL(q||p)" if has_bits_back else "H(q, p)", cost, ""),
    ]
    if not has_bits_back:
        rows.append(("of it H(q)", found.entropy_bits_per_dim, "  what bits back would give back"))
    if found.label_bits_per_dim:
        rows.append(("labels", found.label_bits_per_dim, ""))
    if found.portable:
        rows.append(("rounding", found.note_bits_per_dim, "  what makes it portable"))
    lines = [
        f"{out}: {found.images:,} images, {found.bytes:,} bytes, of which {found.initial_bytes:,} are initial bits",
        f"{'the file':<12}{found.bits_per_dim:>8.4f}  bits per dimension",
        f"{'-ELBO':<12}{found.elbo_bits_per_dim:>8.4f}",
    ]
    return "\n".join([*lines, *(f"  {name:<10}{value:>8.4f}{remark}" for name, value, remark in rows)])
