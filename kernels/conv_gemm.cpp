// Convolutions that are one matrix product, hence a fully connected layer (conv_gemm.h).
#include "kernels/conv_gemm.h"

#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.h"
#include "kernels/linear.h"

namespace ganforge {

ConvPlan<CpuStream> plan_conv_gemm(const CpuStream&, ConvDirection direction, const ConvShape& c,
                                   const ConvEpilogue& epilogue) {
  if (!is_matrix_product(c)) return {};
  const std::int64_t rows = c.n * c.p * c.q, in = c.r * c.s * c.c, out = c.k;
  ConvPlan<CpuStream> plan;
  plan.algorithm = "gemm";
  if (direction == ConvDirection::forward) {
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const Activation act = epilogue.mask ? Activation{} : epilogue.act;
      linear(stream, {a.x, a.w, epilogue.bias ? a.bias : nullptr, a.out, rows, in, out, act});
      if (!epilogue.mask) return;
      conv_epilogue_shared(stream, {.mask = true, .act = epilogue.act}, rows, out, nullptr, a.mask, a.out);
    };
  } else if (direction == ConvDirection::input) {
    const bool fused = epilogue.mask && !epilogue.bias;
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      linear_input_grad(stream, {a.y, a.w, fused ? a.mask : nullptr, a.out, rows, in, out, epilogue.act});
      // The columns are C channels of R·S pixels, and the bias has C.
      if (!fused) conv_epilogue_shared(stream, epilogue, c.n * c.h * c.w, c.c, a.bias, a.mask, a.out);
    };
  } else {
    plan.run = [=](const CpuStream& stream, const ConvArgs& a) {
      const LinearWeightGradArgs layer{a.y, a.x, a.out, nullptr, rows, in, out};
      linear_weight_grad(stream, {&layer, 1});
    };
  }
  return plan;
}

}  // namespace ganforge
