// Convolutions that are one matrix product, hence a fully connected layer: a filter as large as the image, which it
// meets in one position ([N, H·W·C] → [N, K]), and filters of one pixel ([N·H·W, C] → [N·H·W, K]).
#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/linear.h"

namespace ganforge {

ConvPlan<CudaStream> plan_conv_gemm(const CudaStream&, ConvDirection direction, const ConvShape& c,
                                    const ConvEpilogue& epilogue) {
  const bool no_padding = c.pad_top == 0 && c.pad_left == 0 && c.groups == 1;
  const bool whole = c.p == 1 && c.q == 1 && c.r == c.h && c.s == c.w && (c.r == 1 || c.dilation_h == 1) &&
                     (c.s == 1 || c.dilation_w == 1);
  const bool pixel = c.r == 1 && c.s == 1 && c.p == c.h && c.q == c.w && (c.h == 1 || c.stride_h == 1) &&
                     (c.w == 1 || c.stride_w == 1);
  if (!no_padding || (!whole && !pixel)) return {};
  const std::int64_t rows = c.n * c.p * c.q, in = c.r * c.s * c.c, out = c.k;
  ConvPlan<CudaStream> plan;
  plan.algorithm = "gemm";
  if (direction == ConvDirection::forward) {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
      const Activation act = epilogue.mask ? Activation{} : epilogue.act;
      linear(stream, {a.x, a.w, epilogue.bias ? a.bias : nullptr, a.out, rows, in, out, act});
      if (epilogue.mask) {
        launch_conv_epilogue(stream, {{.mask = true, .act = epilogue.act}, a}, a.out, rows, out);
      }
    };
  } else if (direction == ConvDirection::input) {
    const bool fused = epilogue.mask && !epilogue.bias;
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
      linear_input_grad(stream, {a.y, a.w, fused ? a.mask : nullptr, a.out, rows, in, out, epilogue.act});
      // The columns are C channels of R·S pixels, and the bias has C.
      if (epilogue && !fused) launch_conv_epilogue(stream, {epilogue, a}, a.out, c.n * c.h * c.w, c.c);
    };
  } else {
    plan.run = [=](const CudaStream& stream, const ConvArgs& a) {
      const LinearWeightGradArgs layer{a.y, a.x, a.out, nullptr, rows, in, out};
      linear_weight_grad(stream, {&layer, 1});
    };
  }
  return plan;
}

}  // namespace ganforge
