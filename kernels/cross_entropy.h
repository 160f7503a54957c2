// Softmax and cross-entropy with their gradient and statistics in one pass over the logits.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

inline constexpr int max_cross_entropy_parts = 4;

/// logits [parts·rows, classes], labels [parts·rows], each below `classes`. With p = softmax(logits) of a row:
///   loss = Σ over the parts of the mean over a part's rows of −log p[label]
///   dlogits = (p − one_hot(label)) / rows
///   *accuracy[part] = share of a part's rows whose first largest logit is that of the label
/// At most max_cross_entropy_parts parts. A label outside [0, classes) is nobody's: its row adds log Σ exp(logits) to
/// the loss and is never right.
struct CrossEntropyArgs {
  const float* logits;
  const std::int32_t* labels;
  float* loss;                               // scalar
  float* dlogits;                            // as logits
  float* accuracy[max_cross_entropy_parts];  // a scalar each
  std::int64_t parts, rows, classes;
};
void cross_entropy(const CpuStream& stream, const CrossEntropyArgs& args);
void cross_entropy(const CudaStream& stream, const CrossEntropyArgs& args);

}  // namespace ganforge
