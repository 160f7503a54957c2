// Convolutions as ops: one trilinear form, whose three derivatives differentiate into each other.
#pragma once

#include "kernels/conv2d.h"
#include "src/ops/act_grad.h"
#include "src/ops/conv_norm.h"
#include "src/ops/head.h"

#include <ganforge/ops.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace ganforge {

/// What all three have in common.
class ConvOp : public Op {
 public:
  explicit ConvOp(const Conv2dOptions& options) : o_(options) {}

 protected:
  std::string geometry() const;
  ConvShape sizes(const Shape& x, std::int64_t k, std::int64_t r, std::int64_t s) const;
  void check(const Types& in) const;
  void check_groups(std::int64_t c, std::int64_t k) const;
  /// y [N, P, Q, K] of an image [N, h, w, C]; throws if nothing is left of the image.
  Shape checked_output(const Shape& x, std::int64_t k, std::int64_t r, std::int64_t s) const;
  Kernel kernel(Device& device, ConvDirection direction, const ConvShape& shape, const ConvEpilogue& epilogue,
                DType type) const;

  Conv2dOptions o_;

 private:
  /// Output size along an axis (0: vertical) of an image and a kernel of these sizes.
  std::int64_t output(int axis, std::int64_t image, std::int64_t kernel) const;
};

/// x, w → y, or with `image` y, w → x: then bias and mask of the result, as the epilogue says.
class ConvDataOp : public ConvOp,
                   public ActGradAbsorber,
                   public HeadLayer,
                   public BatchNormAbsorber,
                   public BatchNormGradAbsorber {
 public:
  ConvDataOp(const Conv2dOptions& options, std::optional<std::array<std::int64_t, 2>> image, ConvEpilogue epilogue)
      : ConvOp(options), image_(image), e_(epilogue) {}

  std::string describe() const override;
  Types infer(const Types& in) const override;
  Values expand(const Values& in) const override;
  Values grad(const Values& in, const Values& out, const Values& dout) const override;
  /// Gradients of the operands, of a convolution without mask, from that of its result before the activation.
  Values gradients(const Values& in, Value d) const;

  Value absorb(Value dx, Value y, const Activation& act) const override;
  Values absorb_batch_norm(const Values& in, const Values& norm, const BatchNormOptions& options) const override;
  Values absorb_batch_norm_grad(const Values& in, const Values& norm, const BatchNormOptions& options,
                                const Activation& input_act) const override;
  Values operands_of_head(const Values& in) const override;
  Activation activation_of_result() const override { return e_.mask ? Activation{} : e_.act; }

  Kernel prepare(Device& device, const Types& in) const override;
  Cost cost(const Types& in) const override;

  ConvDirection direction() const { return image_ ? ConvDirection::input : ConvDirection::forward; }
  const ConvEpilogue& epilogue() const { return e_; }
  ConvShape shape(const Types& in) const;
  /// The result, before the epilogue.
  Value plain(Value a, Value w) const { return a.graph().add(ConvDataOp(o_, image_, {}), {a, w})[0]; }

 private:
  std::optional<std::array<std::int64_t, 2>> image_;  // size of the result, where that is an image
  ConvEpilogue e_;
};

}  // namespace ganforge
