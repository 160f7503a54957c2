// Softmax and cross-entropy with their gradient and statistics in one pass over the logits.
#pragma once

#include <ganforge/stream.h>

#include <cstdint>

namespace ganforge {

/// logits [rows, classes], labels [rows], each below `classes`. With p = softmax(logits) of a row:
///   loss = mean over the rows of −log p[label]
///   dlogits = (p − one_hot(label)) / rows
///   accuracy = share of rows whose first largest logit is that of the label
/// A label outside [0, classes) is nobody's: its row adds log Σ exp(logits) to
/// the loss and is never right.
struct CrossEntropyArgs {
  const float* logits;
  const std::int32_t* labels;
  float* loss;      // scalar
  float* dlogits;   // as logits
  float* accuracy;  // scalar
  std::int64_t rows, classes;
};
void cross_entropy(const CpuStream& stream, const CrossEntropyArgs& args);
void cross_entropy(const CudaStream& stream, const CrossEntropyArgs& args);

}  // namespace ganforge
