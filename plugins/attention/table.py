"""The fastest kernel at every measured shape; written by `python -m benchmarks.attention_table`, read by `auto`.

Keys: device, dtype, and whether mask or bias differ between queries. Rows: queries, keys, size of a head, the
fastest kernel, the fastest that torch.compile can trace. The CPU rows come from one core of an AMD EPYC (Zen 5)
with torch 2.13.
"""

FASTEST: dict[tuple[str, str, bool], list[tuple[int, int, int, str, str]]] = {
    ("cpu", "float32", False): [
        (10, 10, 64, "grouped", "einsum"),
        (64, 64, 64, "sdpa", "sdpa"),
        (300, 300, 64, "packed", "sdpa"),
        (1000, 1000, 64, "packed", "sdpa"),
        (300, 3000, 64, "packed", "sdpa"),
        (3000, 3000, 64, "packed", "sdpa"),
        (1, 10, 64, "einsum", "einsum"),
        (1, 64, 64, "sdpa", "sdpa"),
        (10, 10, 16, "grouped", "einsum"),
        (64, 64, 16, "sdpa", "sdpa"),
        (300, 300, 16, "sdpa", "sdpa"),
        (300, 3000, 16, "packed", "sdpa"),
        (1, 10, 16, "sdpa", "sdpa"),
        (1, 64, 16, "einsum", "einsum"),
    ],
    ("cpu", "bfloat16", False): [
        (10, 10, 64, "einsum", "einsum"),
        (64, 64, 64, "einsum", "einsum"),
        (300, 300, 64, "einsum", "einsum"),
        (1000, 1000, 64, "packed", "sdpa"),
        (300, 3000, 64, "packed", "einsum"),
        (3000, 3000, 64, "packed", "sdpa"),
        (1, 10, 64, "einsum", "einsum"),
        (1, 64, 64, "einsum", "einsum"),
    ],
    ("cpu", "float32", True): [
        (10, 10, 64, "grouped", "einsum"),
        (300, 300, 64, "packed", "sdpa"),
        (300, 3000, 64, "packed", "einsum"),
        (10, 10, 16, "grouped", "einsum"),
        (300, 300, 16, "grouped", "sdpa"),
        (300, 3000, 16, "packed", "einsum"),
    ],
    ("cpu", "bfloat16", True): [
        (10, 10, 64, "einsum", "einsum"),
        (300, 300, 64, "einsum", "einsum"),
        (300, 3000, 64, "einsum", "einsum"),
    ],
    ("cuda", "float32", False): [
        (10, 10, 64, "short", "short"),
        (64, 64, 64, "sdpa", "sdpa"),
        (300, 300, 64, "sdpa", "sdpa"),
        (1000, 1000, 64, "sdpa", "sdpa"),
        (300, 3000, 64, "sdpa", "sdpa"),
        (3000, 3000, 64, "sdpa", "sdpa"),
        (1, 10, 64, "short", "short"),
        (1, 64, 64, "short", "short"),
        (10, 10, 16, "short", "short"),
        (64, 64, 16, "sdpa", "sdpa"),
        (300, 300, 16, "sdpa", "sdpa"),
        (300, 3000, 16, "sdpa", "sdpa"),
        (1, 10, 16, "short", "short"),
        (1, 64, 16, "sdpa", "sdpa"),
    ],
    ("cuda", "bfloat16", False): [
        (10, 10, 64, "short", "short"),
        (64, 64, 64, "short", "short"),
        (300, 300, 64, "sdpa", "sdpa"),
        (1000, 1000, 64, "sdpa", "sdpa"),
        (300, 3000, 64, "sdpa", "sdpa"),
        (3000, 3000, 64, "sdpa", "sdpa"),
        (1, 10, 64, "short", "short"),
        (1, 64, 64, "short", "short"),
    ],
    ("cuda", "float32", True): [
        (10, 10, 64, "sdpa", "sdpa"),
        (300, 300, 64, "sdpa", "sdpa"),
        (300, 3000, 64, "sdpa", "sdpa"),
        (10, 10, 16, "sdpa", "sdpa"),
        (300, 300, 16, "sdpa", "sdpa"),
        (300, 3000, 16, "sdpa", "sdpa"),
    ],
    ("cuda", "bfloat16", True): [
        (10, 10, 64, "sdpa", "sdpa"),
        (300, 300, 64, "sdpa", "sdpa"),
        (300, 3000, 64, "sdpa", "sdpa"),
    ],
}
