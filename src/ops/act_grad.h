// How the derivative of an activation gets into the epilogue of the op before it.
#pragma once

#include <ganforge/ops.h>

namespace ganforge {

/// An op whose result act_grad() may take over, with the mask as its epilogue.
class ActGradAbsorber {
 public:
  virtual ~ActGradAbsorber() = default;
  /// `dx` ⊙ act′(y) as one node, dx being an output of a node of this op; absent if it cannot be done.
  virtual Value absorb(Value dx, Value y, const Activation& act) const = 0;
};

/// dy ⊙ act′(y) without looking at what made dy: what an absorbing op expands to.
Value plain_act_grad(Value dy, Value y, const Activation& activation);

}  // namespace ganforge
