// The fully connected layer on CUDA: layers of one output have kernels of their own (linear_one.cuh), all others are
// matrix products, in float32 (linear_fp32.cu) or on tensor cores (linear_mma.cu).
#include "kernels/linear.h"
#include "kernels/linear_one.cuh"
#include "kernels/linear_product.cuh"
#include "kernels/mma.cuh"
#include "src/core/cuda_check.h"

#include <cstdint>
#include <span>

namespace ganforge {
namespace {

using dense::Direction;
using dense::Products;
using dense::vectors;

void launch(const CudaStream& stream, Direction direction, Products& products) {
  if (products.count == 0) return;
  if (stream.precision == Precision::fp32 || !mma::supported(stream))
    return dense::launch_fp32(stream, direction, products);
  dense::launch_mma(stream, direction, products);
}

}  // namespace

void linear(const CudaStream& stream, const LinearArgs& p) {
  if (p.rows == 0 || p.out == 0) return;
  if (p.out == 1) {
    linear_to_one_kernel<<<row_blocks(p.rows), 32 * warps_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(
        p, vectors(p.in, {p.x, p.w}));
    return check_launch("linear_to_one_kernel");
  }
  Products products;
  products.count = 1;
  products.at[0] = {.a = p.x,
                    .b = p.w,
                    .c = p.y,
                    .bias = p.b,
                    .m = p.rows,
                    .n = p.out,
                    .k = p.in,
                    .act = p.act.kind,
                    .slope = p.act.negative_slope,
                    .vector_a = vectors(p.in, {p.x}),
                    .vector_b = vectors(p.in, {p.w}),
                    .vector_c = vectors(p.out, {p.b, p.y})};
  launch(stream, Direction::forward, products);
}

void linear_input_grad(const CudaStream& stream, const LinearInputGradArgs& p) {
  if (p.rows == 0 || p.in == 0) return;
  if (p.out == 1) {
    linear_from_one_kernel<<<row_blocks(p.rows), 32 * warps_per_block, 0, static_cast<cudaStream_t>(stream.stream)>>>(
        p, vectors(p.in, {p.w, p.y, p.dx}));
    return check_launch("linear_from_one_kernel");
  }
  Products products;
  products.count = 1;
  products.at[0] = {.a = p.dz,
                    .b = p.w,
                    .c = p.dx,
                    .mask = p.y,
                    .m = p.rows,
                    .n = p.in,
                    .k = p.out,
                    .act = p.act.kind,
                    .slope = p.act.negative_slope,
                    .vector_a = vectors(p.out, {p.dz}),
                    .vector_b = vectors(p.in, {p.w}),
                    .vector_c = vectors(p.in, {p.y, p.dx})};
  launch(stream, Direction::input_grad, products);
}

void linear_weight_grad(const CudaStream& stream, std::span<const LinearWeightGradArgs> layers) {
  Products products;
  for (const LinearWeightGradArgs& p : layers) {
    if (p.in == 0 || p.out == 0) continue;
    products.at[products.count++] = {.a = p.dz,
                                     .b = p.x,
                                     .c = p.dw,
                                     .bias_grad = p.db,
                                     .m = p.out,
                                     .n = p.in,
                                     .k = p.rows,
                                     .vector_a = vectors(p.out, {p.dz}),
                                     .vector_b = vectors(p.in, {p.x}),
                                     .vector_c = vectors(p.in, {p.dw})};
    if (products.count == max_linear_group) {
      launch(stream, Direction::weight_grad, products);
      products = {};
    }
  }
  launch(stream, Direction::weight_grad, products);
}

}  // namespace ganforge
