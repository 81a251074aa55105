"""Nearest vectors: rough products leave no trace in what is found."""

import pytest
import torch

from seamark.detectors.nearest_vectors import BLOCK, NearestVectors


def _bank(kind: str, vectors: int, random: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(vectors, 24, generator=random)
    match kind:
        case "spread":
            return drawn
        case "one heap, far away":  # bfloat16 cannot tell its vectors apart
            return 300.0 + 1e-2 * drawn
        case "twins":  # each vector twice, blocks apart
            return drawn.repeat(2, 1)[:vectors]
        case "one among small ones":  # whose length makes the bound of all the others wide
            return torch.cat([50.0 * drawn[:1], 1e-3 * drawn[1:]])
        case _:
            return torch.zeros(vectors, 24)


@pytest.mark.parametrize("rough", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kind", ["spread", "one heap, far away", "twins", "one among small ones", "all the same"])
@pytest.mark.parametrize(("vectors", "count"), [(3 * BLOCK + 5, 1), (3 * BLOCK + 5, 3), (BLOCK, 2), (2, 3)])
def test_distances_are_those_of_a_search_in_double_precision(kind, vectors, count, rough):
    random = torch.Generator().manual_seed(vectors + count)
    bank = _bank(kind, vectors, random)
    picked = bank[torch.randint(vectors, (40,), generator=random)]
    queries = torch.cat([picked, picked + 1e-3, picked + torch.randn(40, 24, generator=random)])
    wide = torch.linalg.vector_norm(queries.double().unsqueeze(1) - bank.double(), dim=2)
    expected = wide.topk(min(count, vectors), dim=1, largest=False).values.mean(dim=1)
    found = NearestVectors(bank, rough).distances(queries, count)
    # Which of two vectors is nearer may be a matter of rounding, by which the distances of both differ.
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)
    assert (found.double() <= expected * 1.0001 + 1e-5).all()


def test_rough_products_of_either_kind_find_the_same_bits():
    random = torch.Generator().manual_seed(1)
    bank, queries = torch.randn(2000, 152, generator=random), torch.randn(500, 152, generator=random)
    first, second = (NearestVectors(bank, kind).distances(queries) for kind in (torch.bfloat16, torch.float32))
    assert torch.equal(first, second)
    assert torch.equal(first[3:4], NearestVectors(bank).distances(queries[3:4]))


def test_a_vector_that_is_not_finite_stays_so():
    queries = torch.tensor([[torch.nan, 0.0], [torch.inf, 0.0], [3.0, 4.0]])
    found = NearestVectors(torch.zeros(2, 2)).distances(queries)
    assert found.isfinite().tolist() == [False, False, True]
    assert found[2] == 5.0
