// Batched matrix product by the vendor's GEMM: OpenBLAS on the CPU (float32, float64), cuBLASLt on CUDA (float32, exact
// FP32).
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// c[i] = op(a[i])·op(b[i]) for i < batch: op(a) [m, k], op(b) [k, n], c [m, n], all row-major and dense, one after
/// another. transpose_a: a[i] is stored [k, m]; transpose_b: b[i] is stored [n, k]. A batch stride of zero repeats an
/// operand.
struct MatmulShape {
  std::int64_t batch = 1, m, n, k;
  bool transpose_a = false, transpose_b = false;
  std::int64_t stride_a = 0, stride_b = 0;  // elements from one matrix to the next
};
template <class T>
void matmul(const CpuStream& stream, const MatmulShape& shape, const T* a, const T* b, T* c);
void matmul(const CudaStream& stream, const MatmulShape& shape, const float* a, const float* b, float* c);

}  // namespace ganforge
