// cuBLASLt counts rows and columns the other way round: a row-major matrix is the transpose of its column-major one, so
// cᵀ = op(b)ᵀ·op(a)ᵀ is asked for, with the operands exchanged and their transpositions kept.
#include "kernels/matmul.h"
#include "src/core/cuda_check.h"
#include "src/core/cuda_libraries.h"

#include <cstdint>
#include <limits>
#include <memory>
#include <string>

namespace ganforge {
namespace {

template <class T>
using Owner = std::unique_ptr<T, cublasStatus_t (*)(T*)>;

using Desc = Owner<cublasLtMatmulDescOpaque_t>;
using Layout = Owner<cublasLtMatrixLayoutOpaque_t>;
using Preference = Owner<cublasLtMatmulPreferenceOpaque_t>;

Desc make_desc(const CublasLt& lt, Precision precision, bool transpose_a, bool transpose_b) {
  const cublasComputeType_t compute = precision == Precision::tf32   ? CUBLAS_COMPUTE_32F_FAST_TF32
                                      : precision == Precision::bf16 ? CUBLAS_COMPUTE_32F_FAST_16BF
                                                                     : CUBLAS_COMPUTE_32F;  // no TF32
  cublasLtMatmulDesc_t desc = nullptr;
  lt.check(lt.create_desc(&desc, compute, CUDA_R_32F), "cublasLtMatmulDescCreate");
  Desc owner(desc, lt.destroy_desc);
  const cublasOperation_t a = transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N, b = transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N;
  lt.check(lt.set_desc(desc, CUBLASLT_MATMUL_DESC_TRANSA, &a, sizeof a), "cublasLtMatmulDescSetAttribute");
  lt.check(lt.set_desc(desc, CUBLASLT_MATMUL_DESC_TRANSB, &b, sizeof b), "cublasLtMatmulDescSetAttribute");
  return owner;
}

/// `batch` matrices of `rows` × `columns`, row-major and dense, as cuBLASLt sees them.
Layout make_layout(const CublasLt& lt, std::int64_t rows, std::int64_t columns, std::int64_t batch,
                   std::int64_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  lt.check(lt.create_layout(&layout, CUDA_R_32F, columns, rows, columns), "cublasLtMatrixLayoutCreate");
  Layout owner(layout, lt.destroy_layout);
  const auto count = static_cast<std::int32_t>(batch);
  lt.check(lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
           "cublasLtMatrixLayoutSetAttribute");
  lt.check(lt.set_layout(layout, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
           "cublasLtMatrixLayoutSetAttribute");
  return owner;
}

/// The largest power of two that the address is a multiple of, at most 256.
std::uint32_t alignment(const float* memory) {
  std::uint32_t bytes = 256;
  while (reinterpret_cast<std::uintptr_t>(memory) % bytes) bytes /= 2;
  return bytes;
}

}  // namespace

void matmul(const CudaStream& stream, const MatmulShape& shape, const float* a, const float* b, float* c) {
  const auto [batch, m, n, k, transpose_a, transpose_b, stride_a, stride_b] = shape;
  if (batch == 0 || m == 0 || n == 0) return;
  if (k == 0) {
    return check_cuda(cudaMemsetAsync(c, 0, sizeof(float) * batch * m * n, static_cast<cudaStream_t>(stream.stream)),
                      "matmul: cudaMemsetAsync");
  }
  const std::string what = "matmul of " + std::to_string(batch) + " × [" + std::to_string(m) + ", " +
                           std::to_string(k) + "]·[" + std::to_string(k) + ", " + std::to_string(n) + "]";
  if (batch > std::numeric_limits<std::int32_t>::max()) throw DeviceError(what + ": too many matrices for cuBLASLt");
  const CublasLt& lt = stream.libraries->cublas_lt();
  const Desc desc = make_desc(lt, stream.precision, transpose_b, transpose_a);
  const Layout layout_a = make_layout(lt, transpose_a ? k : m, transpose_a ? m : k, batch, stride_a);
  const Layout layout_b = make_layout(lt, transpose_b ? n : k, transpose_b ? k : n, batch, stride_b);
  const Layout layout_c = make_layout(lt, m, n, batch, m * n);

  cublasLtMatmulPreference_t raw = nullptr;
  lt.check(lt.create_preference(&raw), "cublasLtMatmulPreferenceCreate");
  const Preference preference(raw, lt.destroy_preference);
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    lt.check(lt.set_preference(raw, attribute, &value, sizeof value), "cublasLtMatmulPreferenceSetAttribute");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t(CublasLt::workspace_bytes));
  // The default is to expect 256 bytes; values start on 64, views on 4.
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(b));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(a));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(c));
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(c));
  // Split k by partial sums in the workspace, whose order is fixed, or not at all.
  prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
         std::uint32_t(CUBLASLT_REDUCTION_SCHEME_NONE | CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE));

  cublasLtMatmulHeuristicResult_t choice{};
  int choices = 0;
  lt.check(lt.get_heuristic(lt.handle, desc.get(), layout_b.get(), layout_a.get(), layout_c.get(), layout_c.get(), raw,
                            1, &choice, &choices),
           what.c_str());
  if (choices == 0) throw DeviceError(what + ": cuBLASLt has no algorithm for it");
  const float one = 1.0f, zero = 0.0f;
  lt.check(lt.matmul(lt.handle, desc.get(), &one, b, layout_b.get(), a, layout_a.get(), &zero, c, layout_c.get(), c,
                     layout_c.get(), &choice.algo, lt.workspace, CublasLt::workspace_bytes,
                     static_cast<cudaStream_t>(stream.stream)),
           what.c_str());
}

}  // namespace ganforge
