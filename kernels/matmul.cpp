#include "kernels/matmul.h"

#include <ganforge/error.h>

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <string>

namespace ganforge {
namespace {

void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, const float* a, blasint lda,
          const float* b, blasint ldb, float* c) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, n);
}
void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, const double* a, blasint lda,
          const double* b, blasint ldb, double* c) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, n);
}

blasint blas_size(std::int64_t size, const char* name) {
  if (size > std::numeric_limits<blasint>::max()) {
    throw ShapeError("matmul: " + std::string(name) + " = " + std::to_string(size) +
                     " is more than OpenBLAS can index; use smaller matrices");
  }
  return static_cast<blasint>(size);
}

}  // namespace

// A batch of at least one matrix per thread is shared out whole (OpenBLAS stays on one thread inside a parallel
// region); a smaller one leaves the threads to OpenBLAS, matrix after matrix.
template <class T>
void matmul(const CpuStream& stream, const MatmulShape& shape, const T* a, const T* b, T* c) {
  MatmulShape s = shape;
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  if (s.k == 0) {
    std::fill_n(c, s.batch * s.m * s.n, T(0));
    return;
  }
  // Rows of one large product, where every matrix meets the same b.
  if (!s.transpose_a && s.stride_b == 0 && s.stride_a == s.m * s.k &&
      s.batch * s.m <= std::numeric_limits<blasint>::max()) {
    s.m *= s.batch;
    s.batch = 1;
  }
  const blasint m = blas_size(s.m, "m"), n = blas_size(s.n, "n"), k = blas_size(s.k, "k");
  const auto product = [&](std::int64_t i) {
    gemm(s.transpose_a ? CblasTrans : CblasNoTrans, s.transpose_b ? CblasTrans : CblasNoTrans, m, n, k,
         a + i * s.stride_a, s.transpose_a ? m : k, b + i * s.stride_b, s.transpose_b ? k : n, c + i * s.m * s.n);
  };
  if (s.batch > 1 && s.batch >= stream.threads) {
#pragma omp parallel for schedule(static) num_threads(stream.threads)
    for (std::int64_t i = 0; i < s.batch; ++i) product(i);
  } else {
    if (openblas_get_num_threads() != stream.threads) openblas_set_num_threads(stream.threads);
    for (std::int64_t i = 0; i < s.batch; ++i) product(i);
  }
}

template void matmul(const CpuStream&, const MatmulShape&, const float*, const float*, float*);
template void matmul(const CpuStream&, const MatmulShape&, const double*, const double*, double*);

}  // namespace ganforge
