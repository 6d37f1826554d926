"""A process with memory and coupling. Its distribution is known, and with it the best possible forecast."""

import numpy as np

SELF_BIAS = 2.0  # logits in favour of staying


class CoupledProcess:
    """N residues on a random cycle, each with a neighbour nb(n); all move at once, given the last two frames:

    p(x[t+1,n] = y | past) = softmax_y(2 [y = x[t,n]] + g1 G1[x[t,n], y] + g2 G2[x[t-1,n], y] + g3 G3[x[t,nb(n)], y])

    with G1, G2, G3 (C, C) from N(0, 1). g2 sets the memory, g3 the coupling; with g2 = g3 = 0 residues are
    independent Markov chains.
    """

    def __init__(self, g1: float, g2: float, g3: float, num_residues: int, num_clusters: int, seed: int):
        self.num_residues, self.num_clusters = num_residues, num_clusters
        rng = np.random.default_rng(seed)
        self.couplings = rng.standard_normal((3, num_clusters, num_clusters))  # G1, G2, G3
        cycle = rng.permutation(num_residues)
        self.neighbour = np.empty(num_residues, np.int64)  # (N,) nb(n)
        self.neighbour[cycle] = np.roll(cycle, -1)
        by_current, by_previous, by_neighbour = self.couplings
        logits = (
            (SELF_BIAS * np.eye(num_clusters) + g1 * by_current)[:, None, None]
            + g2 * by_previous[None, :, None]
            + g3 * by_neighbour[None, None, :]
        )
        odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
        self.transitions = odds / odds.sum(axis=-1, keepdims=True)
        """(C, C, C, C): P[x[t,n], x[t-1,n], x[t,nb(n)], y]."""
        self._cumulative = self.transitions.cumsum(axis=-1)
        self._cumulative[..., -1] = 1.0

    def next_distribution(self, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        """The exact p(x[t+1] | past), (..., N, C), given frames t-1 and t, (..., N) int each: one look-up."""
        return self.transitions[current, previous, current[..., self.neighbour]]

    def exact(self, past: np.ndarray) -> np.ndarray:
        """The exact distribution (B, N, C) of the frame after a past (B, K, N)."""
        return self.next_distribution(past[:, -2], past[:, -1])

    def second_distribution(self, previous: np.ndarray, current: np.ndarray) -> np.ndarray:
        """The exact p(x[t+2] | past), (..., N, C), given frames t-1 and t, (..., N) int each.

        Given the past, the residues of the next frame are independent of each other, so the result is
        sum over a, c of p1(n, a) p1(nb(n), c) P[a, x[t,n], c, y].
        """
        first = self.next_distribution(previous, current)
        own = first.reshape(-1, self.num_clusters)
        neighbours = first[..., self.neighbour, :].reshape(-1, self.num_clusters)
        here = current.reshape(-1)
        second = np.empty_like(own)
        for value in range(self.num_clusters):  # positions with the same x[t,n] share the table P[:, x[t,n]]
            at = here == value
            mixed = np.tensordot(own[at], self.transitions[:, value], axes=1)
            second[at] = np.einsum("mc,mcy->my", neighbours[at], mixed)
        return second.reshape(first.shape)

    def run(self, uniforms: np.ndarray) -> np.ndarray:
        """Trajectories (B, T, N) int64, drawn with uniform random numbers (B, T, N) in [0, 1), T >= 2.

        The first two frames are uniform over the classes and not stationary, so a burn-in has to be cut off.
        """
        num_windows, num_frames, num_residues = uniforms.shape
        frames = np.empty((num_frames, num_windows, num_residues), np.int64)
        frames[:2] = (uniforms[:, :2] * self.num_clusters).astype(np.int64).swapaxes(0, 1)
        for t in range(2, num_frames):
            current = frames[t - 1]
            below = self._cumulative[current, frames[t - 2], current[:, self.neighbour]] <= uniforms[:, t, :, None]
            frames[t] = below.sum(axis=-1)
        return frames.swapaxes(0, 1)


def entropy_bits(distributions: np.ndarray) -> np.ndarray:
    """The entropy (...) of distributions (..., C) in bits."""
    logarithms = np.log2(distributions, out=np.zeros_like(distributions), where=distributions > 0)
    return -(distributions * logarithms).sum(axis=-1)
