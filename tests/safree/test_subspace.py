"""The projector onto the span of the concepts: what makes it a projector, and how it bears near-equal phrases."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from safree import SafreeError
from safree.linear_algebra import project, reject, span
from safree.subspace import ConceptSubspace, EncoderSubspace

SHAPES = st.tuples(st.integers(1, 12), st.integers(2, 40), st.integers(0, 2**31))
FAST = settings(max_examples=40, deadline=None)


def rows(count: int, width: int, seed: int) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def matrix(basis: torch.Tensor) -> torch.Tensor:
    """P [D, D] of an orthonormal basis."""
    return basis.T @ basis


@FAST
@given(SHAPES)
def test_projector_is_idempotent_and_symmetric(shape):
    projector = matrix(span(rows(*shape)))
    torch.testing.assert_close(projector @ projector, projector, atol=1e-5, rtol=0)
    torch.testing.assert_close(projector, projector.T, atol=1e-6, rtol=0)


@FAST
@given(SHAPES)
def test_projection_and_rejection_split_a_vector_into_orthogonal_parts(shape):
    basis, vectors = span(rows(*shape)), rows(3, shape[1], shape[2] + 1)
    inside, outside = project(vectors, basis), reject(vectors, basis)
    torch.testing.assert_close(inside + outside, vectors)
    torch.testing.assert_close((inside * outside).sum(-1), torch.zeros(3), atol=1e-4, rtol=0)


@FAST
@given(st.tuples(st.integers(1, 6), st.just(40), st.integers(0, 2**31)), st.floats(1e-3, 1e3))
def test_span_does_not_depend_on_the_length_order_or_repetition_of_vectors(shape, scale):
    vectors = rows(*shape)
    varied = torch.cat([vectors.flip(0), vectors[:1]]) * scale
    torch.testing.assert_close(matrix(span(varied)), matrix(span(vectors)), atol=1e-4, rtol=0)


def test_concepts_lie_in_their_span_when_none_is_a_near_duplicate():
    vectors = rows(6, 32, seed=0)
    torch.testing.assert_close(project(vectors, span(vectors)), vectors, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("noise", [1e-3, 1e-4, 1e-6])
def test_near_collinear_phrases_give_a_projector_where_the_gram_inverse_of_the_release_blows_up(noise):
    base = rows(1, 64, seed=1).repeat(8, 1)
    vectors = base + noise * rows(8, 64, seed=2)
    basis = span(vectors)
    gram = vectors.T @ torch.linalg.pinv(vectors @ vectors.T, rtol=0) @ vectors  # float32, as the release computes it
    ours, release = matrix(basis), (gram @ gram - gram).norm()
    assert len(basis) == 1  # one concept said eight times
    assert (ours @ ours - ours).norm() < 1e-5
    assert release > 1e-2


def test_directions_below_the_rank_tolerance_are_dropped_and_those_above_are_kept():
    axes = torch.eye(3, 16)
    weak = axes * torch.tensor([1.0, 0.02, 0.005])[:, None]
    basis = span(weak, tolerance=0.01)
    torch.testing.assert_close(matrix(basis), torch.diag(torch.tensor([1.0, 1.0] + [0.0] * 14)), atol=1e-6, rtol=0)
    assert len(span(weak, tolerance=0.001)) == 3
    assert len(span(weak, tolerance=0.001, rank=2)) == 2


def test_the_strongest_direction_comes_first():
    basis = span(torch.diag(torch.tensor([0.5, 2.0, 1.0])))
    torch.testing.assert_close(basis.abs(), torch.eye(3)[[1, 2, 0]])


@pytest.mark.parametrize("vectors", [torch.zeros(3, 8), torch.zeros(0, 8)])
def test_nothing_spans_an_empty_subspace_that_leaves_vectors_alone(vectors):
    basis, other = span(vectors), rows(2, 8, seed=3)
    assert basis.shape == (0, 8)
    assert torch.equal(reject(other, basis), other)


def space(width: int = 16, seed: int = 0) -> EncoderSubspace:
    concepts = rows(4, width, seed)
    return EncoderSubspace(concepts, span(rows(1, width, seed + 1)), rows(1, width, seed + 2)[0], concepts[:0])


def test_explained_shares_fall_and_sum_to_one_at_full_rank():
    shares = space().explained
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) == pytest.approx(1)


def test_the_encoder_check_accepts_the_same_encoder_and_names_the_difference_otherwise():
    one = space()
    subspace = ConceptSubspace("nudity", ("nude",), {"l": one})
    subspace.check_encoder("l", one.probe + 0.01)  # small change of weights, as a LoRA makes
    for key, probe, words in [
        ("g", one.probe, ["'l'", "'g'"]),
        ("l", torch.randn(1280), ["16", "1280"]),
        ("l", -one.probe, ["similarity -1.000"]),
        ("l", torch.full((16,), torch.nan), ["similarity nan"]),
    ]:
        with pytest.raises(SafreeError) as caught:
            subspace.check_encoder(key, probe)
        assert all(word in str(caught.value) for word in ["nudity", "Rebuild it with this CLIP", *words])


def test_a_decomposition_is_made_once_for_each_value():
    space = EncoderSubspace(torch.eye(3)[:2], torch.eye(3)[2:], torch.ones(3), (0.0, 0.1))
    assert space.basis is space.basis
    assert space.explained is space.explained
