#include "kernels/matmul.h"

#include "kernels/team.h"

#include <ganforge/error.h>

#include <cblas.h>

#include <algorithm>
#include <limits>
#include <string>

namespace ganforge {
namespace {

// c has rows of `ldc` elements, of which n are computed.
void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, const float* a, blasint lda,
          const float* b, blasint ldb, float* c, blasint ldc) {
  cblas_sgemm(CblasRowMajor, ta, tb, m, n, k, 1.0f, a, lda, b, ldb, 0.0f, c, ldc);
}
void gemm(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, blasint m, blasint n, blasint k, const double* a, blasint lda,
          const double* b, blasint ldb, double* c, blasint ldc) {
  cblas_dgemm(CblasRowMajor, ta, tb, m, n, k, 1.0, a, lda, b, ldb, 0.0, c, ldc);
}

blasint blas_size(std::int64_t size, const char* name) {
  if (size > std::numeric_limits<blasint>::max()) {
    throw ShapeError("matmul: " + std::string(name) + " = " + std::to_string(size) +
                     " is more than OpenBLAS can index; use smaller matrices");
  }
  return static_cast<blasint>(size);
}

std::int64_t divide_up(std::int64_t a, std::int64_t b) {
  return (a + b - 1) / b;
}

// A part of a product is a number of whole rows or columns of c, a multiple of what the micro-kernels take at a time.
// Each part copies the other operand into OpenBLAS's layout: much narrower ones would do so too often.
constexpr std::int64_t part_width = 192, part_work = 1 << 20, tile = 16;  // rows or columns; multiply-adds

}  // namespace

// Products are cut along the longer side of c, and OpenBLAS computes each part on the thread that asks for it.
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
  const CBLAS_TRANSPOSE ta = s.transpose_a ? CblasTrans : CblasNoTrans, tb = s.transpose_b ? CblasTrans : CblasNoTrans;
  const blasint lda = s.transpose_a ? m : k, ldb = s.transpose_b ? k : n;
  const bool by_rows = m >= n;
  const std::int64_t extent = by_rows ? s.m : s.n, other = by_rows ? s.n : s.m;
  const std::int64_t wanted = divide_up(extent, std::max(part_width, part_work / (other * s.k)));
  const std::int64_t width = divide_up(divide_up(extent, wanted + (wanted > 1 ? wanted % 2 : 0)), tile) * tile;
  const std::int64_t parts = divide_up(extent, width);
  const OpenMpOff here;
  if (openblas_get_num_threads() != 1) openblas_set_num_threads(1);  // for a build with threads of its own
  in_parts(stream, s.batch * parts, [&](std::int64_t part) {
    const std::int64_t i = part / parts, begin = part % parts * width;
    const auto count = static_cast<blasint>(std::min(width, extent - begin));
    const T *ai = a + i * s.stride_a, *bi = b + i * s.stride_b;
    T* ci = c + i * s.m * s.n;
    if (by_rows) {
      gemm(ta, tb, count, n, k, ai + begin * (s.transpose_a ? 1 : s.k), lda, bi, ldb, ci + begin * s.n, n);
    } else {
      gemm(ta, tb, m, count, k, ai, lda, bi + begin * (s.transpose_b ? s.k : 1), ldb, ci + begin, n);
    }
  });
}

template void matmul(const CpuStream&, const MatmulShape&, const float*, const float*, float*);
template void matmul(const CpuStream&, const MatmulShape&, const double*, const double*, double*);

}  // namespace ganforge
