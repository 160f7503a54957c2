// Spectral normalisation of weights: Miyato et al., arXiv:1802.05957.
#pragma once

#include <ganforge/graph.h>

namespace ganforge {

struct PowerIteration {
  Value u, v;   ///< [rows], [columns]: singular vectors of the largest singular value, as far as they are known
  Value sigma;  ///< uᵀ·w·v, scalar
};
/// One power iteration on w [out, …] as a matrix of one row per output, from u [out]: v = wᵀu / ‖wᵀu‖,
/// u' = w·v / ‖w·v‖. No gradient: both vectors count as constants (the paper's algorithm 1). Throws ShapeError.
PowerIteration power_iteration(Value w, Value u);

/// w / (uᵀ·w·v); iteration.sigma must be that uᵀ·w·v. Differentiable to any order. On CUDA the layers of a network that
/// are normalised one after another share launches, forward and back.
Value spectral_normalise(Value w, const PowerIteration& iteration);

}  // namespace ganforge
