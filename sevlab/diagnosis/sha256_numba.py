"""The inner search as machine code: the HMAC of many messages at once (optional extra ``fast``: numba).

One candidate costs three compressions of SHA-256: two for the 56-byte message and its padding after the key's inner
block, one for the outer hash. Every step is done for :data:`LANES` candidates side by side, in loops that LLVM turns
into vector instructions. Only the first word of the result is compared; who finds it checks the whole HMAC again.

SHA-256 is FIPS 180-4. Words are 32 bits, big-endian as there.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit, uint32

#: Candidates side by side.
LANES = 64
#: Most candidates whose first word fits that are reported of one call; about one in 2**32 fits by chance.
HITS = 64


def _root_bits(prime: int, root: int) -> int:
    """Return the first 32 bits of the fraction of a prime's square (2) or cube (3) root, by whole numbers alone."""
    above = bisect_right(range(prime << 32), prime << 32 * root, key=lambda number: number**root)
    return (above - 1) & 0xFFFFFFFF


#: The first 64 primes.
_PRIMES = [number for number in range(2, 312) if all(number % smaller for smaller in range(2, number))]
#: FIPS 180-4, 4.2.2 and 5.3.3: cube roots of the first 64 primes, square roots of the first 8.
ROUND_WORDS = np.array([_root_bits(prime, 3) for prime in _PRIMES], dtype=np.uint32)
START_WORDS = np.array([_root_bits(prime, 2) for prime in _PRIMES[:8]], dtype=np.uint32)


@njit(forceinline=True)
def _rotate(x: Any, count: int) -> Any:
    return uint32(uint32(x >> uint32(count)) | uint32(x << uint32(32 - count)))


@njit(forceinline=True)
def _round(s: Any, w: Any, i: int, k: Any) -> None:
    """Do one round in every lane, and make the message word that is needed 16 rounds later.

    The eight working variables do not move: in round *i* they are called by names shifted by *i*. numba computes in
    64 bits unless every step is cast.
    """
    a, b, c, d = (-i & 7) * LANES, (1 - i & 7) * LANES, (2 - i & 7) * LANES, (3 - i & 7) * LANES
    e, f, g, h = (4 - i & 7) * LANES, (5 - i & 7) * LANES, (6 - i & 7) * LANES, (7 - i & 7) * LANES
    w0, w1, w9, w14 = i * LANES, (i + 1 & 15) * LANES, (i + 9 & 15) * LANES, (i + 14 & 15) * LANES
    for n in range(LANES):
        x, y = s[e + n], s[a + n]
        choose = uint32(s[g + n] ^ (x & (s[f + n] ^ s[g + n])))
        majority = uint32((y & s[b + n]) | (s[c + n] & (y | s[b + n])))
        t = uint32(s[h + n] + uint32(_rotate(x, 6) ^ _rotate(x, 11) ^ _rotate(x, 25)) + choose + k + w[w0 + n])
        s[d + n] = uint32(s[d + n] + t)
        s[h + n] = uint32(t + uint32(_rotate(y, 2) ^ _rotate(y, 13) ^ _rotate(y, 22)) + majority)
        u, v = w[w1 + n], w[w14 + n]
        small = uint32(_rotate(u, 7) ^ _rotate(u, 18) ^ uint32(u >> uint32(3)))
        large = uint32(_rotate(v, 17) ^ _rotate(v, 19) ^ uint32(v >> uint32(10)))
        w[w0 + n] = uint32(w[w0 + n] + small + w[w9 + n] + large)


@njit(nogil=True, cache=True)
def _rounds(s: Any, w: Any, words: Any) -> None:
    """Do the 64 rounds. The numbers 0 to 15 must be literal, or LLVM does not vectorize the rounds."""
    for t in range(0, 64, 16):
        _round(s, w, 0, words[t])
        _round(s, w, 1, words[t + 1])
        _round(s, w, 2, words[t + 2])
        _round(s, w, 3, words[t + 3])
        _round(s, w, 4, words[t + 4])
        _round(s, w, 5, words[t + 5])
        _round(s, w, 6, words[t + 6])
        _round(s, w, 7, words[t + 7])
        _round(s, w, 8, words[t + 8])
        _round(s, w, 9, words[t + 9])
        _round(s, w, 10, words[t + 10])
        _round(s, w, 11, words[t + 11])
        _round(s, w, 12, words[t + 12])
        _round(s, w, 13, words[t + 13])
        _round(s, w, 14, words[t + 14])
        _round(s, w, 15, words[t + 15])


@njit(nogil=True, cache=True)
def _fill(block: Any, row: int, word: Any) -> None:
    for n in range(LANES):
        block[row * LANES + n] = word


@njit(nogil=True, cache=True)
def _search(
    inner: Any, outer: Any, message: Any, versions: Any, policies: Any, first: Any, words: Any, hits: Any
) -> int:
    """Try every version under every policy; write where the first word fits into *hits*, return how often it did."""
    s, w, sums = np.empty(8 * LANES, np.uint32), np.empty(16 * LANES, np.uint32), np.empty(8 * LANES, np.uint32)
    count, total = 0, versions.size
    for p in range(policies.size):
        for start in range(0, total, LANES):
            for n in range(LANES):
                w[n] = versions[min(start + n, total - 1)]
            _fill(w, 1, policies[p])
            for row in range(2, 16):
                _fill(w, row, message[row])
            for row in range(8):
                _fill(s, row, inner[row])
            _rounds(s, w, words)  # inner block: done; the message
            for row in range(8):
                for n in range(row * LANES, (row + 1) * LANES):
                    s[n] = uint32(s[n] + inner[row])
                    sums[n] = s[n]
            for row in range(15):
                _fill(w, row, uint32(0))
            _fill(w, 15, uint32(8 * (64 + 56)))
            _rounds(s, w, words)  # the message's padding, with the length in bits
            for n in range(8 * LANES):
                w[n] = uint32(s[n] + sums[n])
            _fill(w, 8, uint32(0x80000000))
            for row in range(9, 15):
                _fill(w, row, uint32(0))
            _fill(w, 15, uint32(8 * (64 + 32)))
            for row in range(8):
                _fill(s, row, outer[row])
            _rounds(s, w, words)  # outer block: done; the inner hash
            for n in range(min(LANES, total - start)):
                if uint32(s[n] + outer[0]) == first:
                    if count < hits.size:
                        hits[count] = p * total + start + n
                    count += 1
    return count


def _state(block: bytes) -> Any:
    s, w = np.repeat(START_WORDS, LANES), np.repeat(_words(block), LANES)
    _rounds(s, w, ROUND_WORDS)
    return START_WORDS + s[::LANES]


def _words(raw: bytes) -> Any:
    return np.array(struct.unpack(f">{len(raw) // 4}I", raw), dtype=np.uint32)


def search(
    key: bytes, digest: bytes, mnonce: bytes, measure: bytes, box: Sequence[Sequence[int]]
) -> list[tuple[int, int, int, int]]:
    """Return the numbers of a *box* under which the measure begins with the first word of *measure*.

    *key* is the TIK (16 bytes), *digest* the launch digest (32 bytes), *mnonce* the nonce (16 bytes), *measure* the
    reported one (32 bytes). A *box* is four lists: API major, API minor, build, policy. About one answer in 2**32 is
    wrong: check each.
    """
    majors, minors, builds, policies = box
    parts = (np.array(part, dtype=np.uint32) for part in (majors, minors, builds))
    major, minor, build = np.meshgrid(*parts, indexing="ij")
    versions = (np.uint32(0x04000000) | major << 16 | minor << 8 | build).astype(np.uint32).ravel()
    swapped = np.array([int(policy) for policy in policies], dtype=np.uint32).byteswap()
    block = key.ljust(64, b"\0")
    inner, outer = (_state(bytes(byte ^ pad for byte in block)) for pad in (0x36, 0x5C))
    message = _words(bytes(8) + digest + mnonce + b"\x80" + bytes(7))
    hits = np.zeros(HITS, np.int64)
    first = np.uint32(int.from_bytes(measure[:4], "big"))
    count = _search(inner, outer, message, versions, swapped, first, ROUND_WORDS, hits)
    found = []
    for hit in hits[: min(count, HITS)].tolist():
        version, policy = int(versions[hit % versions.size]), policies[hit // versions.size]
        found.append((version >> 16 & 0xFF, version >> 8 & 0xFF, version & 0xFF, int(policy)))
    return found
