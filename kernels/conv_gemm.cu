// Convolutions that are one matrix product, hence a fully connected layer (conv_gemm.h).
#include "kernels/conv_gemm.h"

#include "kernels/conv_algorithms.h"
#include "kernels/conv_epilogue.cuh"
#include "kernels/linear.h"
#include "kernels/weight_product.h"

namespace ganforge {

ConvPlan<CudaStream> plan_conv_gemm(const CudaStream& stream, ConvDirection direction, const ConvShape& c,
                                    const ConvEpilogue& epilogue) {
  if (!is_matrix_product(c)) return {};
  const std::int64_t rows = c.n * c.p * c.q, in = c.r * c.s * c.c, out = c.k;
  ConvPlan<CudaStream> plan;
  plan.algorithm = "gemm";
  if (direction == ConvDirection::forward) {
    plan.run = [=](const CudaStream& s, const ConvArgs& a) {
      const Activation act = epilogue.mask ? Activation{} : epilogue.act;
      linear(s, {a.x, a.w, epilogue.bias ? a.bias : nullptr, a.out, rows, in, out, act});
      if (epilogue.mask) {
        launch_conv_epilogue(s, {{.mask = true, .act = epilogue.act}, a}, a.out, rows, out);
      }
    };
  } else if (direction == ConvDirection::input) {
    const bool fused = epilogue.mask && !epilogue.bias;
    plan.run = [=](const CudaStream& s, const ConvArgs& a) {
      linear_input_grad(s, {a.y, a.w, fused ? a.mask : nullptr, a.out, rows, in, out, epilogue.act});
      // The columns are C channels of R·S pixels, and the bias has C.
      if (epilogue && !fused) launch_conv_epilogue(s, {epilogue, a}, a.out, c.n * c.h * c.w, c.c);
    };
  } else if (ConvPlan<CudaStream> product = plan_weight_product(stream, rows, in, out)) {
    product.algorithm = plan.algorithm;
    return product;
  } else {
    plan.run = [=](const CudaStream& s, const ConvArgs& a) {
      const LinearWeightGradArgs layer{a.y, a.x, a.out, nullptr, rows, in, out};
      linear_weight_grad(s, {&layer, 1});
    };
  }
  return plan;
}

}  // namespace ganforge
