"""The fastest kernel at every measured shape; written by `python -m benchmarks.attention`, read by `auto`.

Keys: device, dtype, and whether mask or bias differ between queries. Rows: queries, keys, the fastest kernel, the
fastest that torch.compile can trace. The CPU rows come from one core of an AMD EPYC (Zen 5) with torch 2.13.
"""

FASTEST: dict[tuple[str, str, bool], list[tuple[int, int, str, str]]] = {
    ("cpu", "float32", False): [
        (10, 10, "grouped", "einsum"),
        (64, 64, "sdpa", "sdpa"),
        (300, 300, "packed", "sdpa"),
        (1000, 1000, "packed", "sdpa"),
        (300, 3000, "packed", "sdpa"),
        (3000, 3000, "packed", "sdpa"),
        (1, 10, "sdpa", "sdpa"),
        (1, 64, "sdpa", "sdpa"),
    ],
    ("cpu", "bfloat16", False): [
        (10, 10, "einsum", "einsum"),
        (64, 64, "einsum", "einsum"),
        (300, 300, "einsum", "einsum"),
        (1000, 1000, "packed", "einsum"),
        (300, 3000, "packed", "einsum"),
        (3000, 3000, "packed", "sdpa"),
        (1, 10, "einsum", "einsum"),
        (1, 64, "einsum", "einsum"),
    ],
    ("cpu", "float32", True): [
        (10, 10, "grouped", "einsum"),
        (300, 300, "packed", "sdpa"),
        (300, 3000, "packed", "sdpa"),
    ],
    ("cpu", "bfloat16", True): [
        (10, 10, "einsum", "einsum"),
        (300, 300, "einsum", "einsum"),
        (300, 3000, "einsum", "einsum"),
    ],
}
