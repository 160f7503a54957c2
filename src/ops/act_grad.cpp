// Derivative of an activation from its output.
#include "src/ops/act_grad.h"

namespace ganforge {

Value plain_act_grad(Value dy, Value y, const Activation& activation) {
  switch (activation.kind) {
    case Activation::Kind::none:
      return dy;
    case Activation::Kind::leaky_relu:
      return mul(dy, leaky_slope(y, static_cast<double>(activation.negative_slope)));
    case Activation::Kind::tanh:
      return mul(dy, affine(square(y), -1, 1));
    case Activation::Kind::sigmoid:
      return mul(dy, mul(y, affine(y, -1, 1)));
  }
  return dy;
}

Value act_grad(Value dy, Value y, const Activation& activation) {
  if (!activation) return dy;
  const Op* producer = dy.graph().node(dy.node()).op.get();
  if (const auto* absorber = dynamic_cast<const ActGradAbsorber*>(producer); absorber && dy.shape() == y.shape())
    if (const Value absorbed = absorber->absorb(dy, y, activation)) return absorbed;
  return plain_act_grad(dy, y, activation);
}

}  // namespace ganforge
