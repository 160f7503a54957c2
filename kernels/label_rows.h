// Rows of a table by label: embeddings.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// y[n] = table[labels[n]], zeros for a label outside [0, classes): table [classes, width], labels [rows],
/// y [rows, width].
struct GatherRowsArgs {
  const float* table;
  const std::int32_t* labels;
  float* y;
  std::int64_t rows, classes, width;
};
void gather_rows(const CpuStream& stream, const GatherRowsArgs& args);
void gather_rows(const CudaStream& stream, const GatherRowsArgs& args);

/// Its adjoint: table[k] = Σ dy[n] over the n with labels[n] = k, in order of n.
struct ScatterAddRowsArgs {
  const float* dy;
  const std::int32_t* labels;
  float* table;
  std::int64_t rows, classes, width;
};
void scatter_add_rows(const CpuStream& stream, const ScatterAddRowsArgs& args);
void scatter_add_rows(const CudaStream& stream, const ScatterAddRowsArgs& args);

}  // namespace ganforge
