// Gradient clipping by the norm of all of a network's gradients: Pascanu et al., arXiv:1211.5063.
#pragma once

#include <ganforge/graph.h>

namespace ganforge {

/// factor · min(1, max_norm / (factor · ‖g‖₂ + 1e-6)), a scalar: what to multiply g [n] by so that factor · g is no
/// longer than max_norm > 0. Throws ShapeError.
Value clip_scale(Value g, float max_norm, float factor = 1);

}  // namespace ganforge
