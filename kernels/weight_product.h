// Fully connected layers among the convolutions whose weight gradients are one launch.
#pragma once

#include "kernels/conv2d.h"

#include <cstdint>

namespace ganforge {

/// dw [out, in] from x [rows, in] and, as y, dz [rows, out]; the sums of y's channels are the bias's gradient. A member
/// of a launch: `group` and `run_group` are those of convolutions' plans. Empty if an operand is, or where `in` is no multiple of four.
ConvPlan<CudaStream> plan_weight_product(const CudaStream&, std::int64_t rows, std::int64_t in, std::int64_t out);

}  // namespace ganforge
