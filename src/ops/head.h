// How a loss gets into the layer that makes its logits.
#pragma once

#include <ganforge/ops.h>

namespace ganforge {

/// An op that may be a discriminator's last layer, and whose result may be the input of one.
class HeadLayer {
 public:
  virtual ~HeadLayer() = default;
  /// x [rows, …], w and, if there is one, b [1], where the op is x·w + b for the one filter w, as large as a row of x;
  /// else empty.
  virtual Values operands_of_head(const Values& in) const = 0;
  /// The activation whose output the op's result is.
  virtual Activation activation_of_result() const = 0;
};

/// What the loss is of: the discriminator's, of logits in two halves, or the generator's.
struct HeadLoss {
  bool discriminator;
  Objective objective;
  float real_target = 1.0f;
};

/// loss, dlogits and, of the discriminator, d_real, d_fake, accuracy: logits [rows]. As one op where a HeadLayer makes
/// the logits, with the gradient of the layer's input beside them.
Values loss_of(Value logits, const HeadLoss& loss);
/// Without looking at what made the logits: what that op expands to.
Values plain_loss(Value logits, const HeadLoss& loss);

}  // namespace ganforge
