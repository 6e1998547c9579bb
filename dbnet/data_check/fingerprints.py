"""Find pictures that are nearly the same by perceptual hashes of 64 bits."""

import itertools

import cv2
import numpy as np

Array = np.ndarray

# Bits by which the hashes of two pictures may differ. Of 150 photos of ICDAR2015, copies saved at
# JPEG quality 20 or at a third of the size differ by 4 at most; of all 1.1 million pairs of its
# 1500 photos none differs by less than 12.
MAX_DISTANCE = 4
NUM_BLOCKS = 6  # that a hash is cut into; two of them must be equal if 4 bits differ
SIDE = 32  # of the picture that is hashed
LOW = 8  # frequencies kept on each axis
MIN_CONTRAST = 2.0  # standard deviation in grey levels; a blank page has no features


def fingerprint(image: Array) -> int | None:
    """Hash an (H, W, 3) uint8 image to 64 bits: which low frequencies are above their median.

    The hash of Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions (2010),
    with the constant term. None for an image that is nearly one colour.
    """
    small = cv2.resize(_reduce(image), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_BGR2GRAY).astype(np.float32)
    if grey.std() < MIN_CONTRAST:
        return None
    frequencies = cv2.dct(grey)[:LOW, :LOW].ravel()
    bits = np.packbits(frequencies > np.median(frequencies))
    return int.from_bytes(bits.tobytes(), "big")


def _reduce(image: Array) -> Array:
    """Shrink by a whole number, which OpenCV does four times as fast as by another."""
    factor = max(min(image.shape[:2]) // (2 * SIDE), 1)
    height, width = (side // factor for side in image.shape[:2])
    whole = image[: height * factor, : width * factor]
    return cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)


def near_pairs(hashes: Array) -> Array:
    """Find the pairs of different hashes (N,) uint64 that differ by at most `MAX_DISTANCE` bits.

    The 64 bits are cut into blocks: if at most 4 of them differ, at least two of the six blocks are
    equal. So only hashes that agree in two blocks are compared, for each choice of the two. Returns
    pairs of indices (M, 2), each once, the lower first.
    """
    edges = np.linspace(0, 64, NUM_BLOCKS + 1).astype(int).tolist()
    masks = [(1 << end) - (1 << start) for start, end in itertools.pairwise(edges)]
    found = [np.zeros((0, 2), dtype=np.int64)]
    for pair in itertools.combinations(masks, NUM_BLOCKS - MAX_DISTANCE):
        keys = hashes & np.uint64(sum(pair))
        order = np.argsort(keys, kind="stable")
        keys, ordered = keys[order], hashes[order]
        starts, step = np.arange(len(keys)), 0
        while len(starts):  # neighbours, then those two apart, ... as long as keys are equal
            step += 1
            starts = starts[starts + step < len(keys)]
            starts = starts[keys[starts] == keys[starts + step]]
            near = starts[_distance(ordered[starts], ordered[starts + step]) <= MAX_DISTANCE]
            found.append(np.stack([order[near], order[near + step]], axis=1))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _distance(first: Array, second: Array) -> Array:
    """Count the bits in which (N,) uint64 differ."""
    differences = (first ^ second).view(np.uint8).reshape(len(first), 8)
    return np.unpackbits(differences, axis=1).sum(axis=1)


def earlier_twins(hashes: Array, files: Array) -> tuple[Array, Array]:
    """Find for each image the first one before it that looks the same.

    Takes hashes (N,) uint64, and the index (N,) of the file that each is in, ascending. Returns two
    (N,) arrays of indices, -1 for none: in the same file, and in a file before.
    """
    num, num_files = len(hashes), int(files.max(initial=0)) + 1
    distinct, which = np.unique(hashes, return_inverse=True)
    first = np.full((len(distinct), num_files), num)  # per hash and file; num for none
    np.minimum.at(first, (which, files), np.arange(num))
    nearest = first.copy()
    pairs = near_pairs(distinct).T
    for one, other in (pairs, pairs[::-1]):
        np.minimum.at(nearest, one, first[other])
    before = np.minimum.accumulate(nearest, axis=1)
    same = nearest[which, files]
    other = np.where(files > 0, before[which, files - 1], num)
    return np.where(same < np.arange(num), same, -1), np.where(other < num, other, -1)
