// Builders for labels: int32 [rows], each below the number of classes. As in ops.h.
#pragma once

#include <ganforge/graph.h>

namespace ganforge {

/// 1 where the column is the label's, else 0: [rows, classes]. No gradient.
Value one_hot(Value labels, std::int64_t classes, DType type = DType::float32);
/// A row of the table for each label, an embedding: table [classes, width] → [rows, width].
Value gather_rows(Value table, Value labels);
/// Adjoint of gather_rows: dy [rows, width], those of equal labels added up → [classes, width].
Value scatter_add_rows(Value dy, Value labels, std::int64_t classes);

struct CrossEntropy {
  Value loss;      ///< scalar: the mean over the rows
  Value accuracy;  ///< scalar: share of rows whose largest logit is the label's; no gradient
};
/// −log softmax(logits)[label]: logits [rows, classes], not probabilities.
CrossEntropy cross_entropy(Value logits, Value labels);

}  // namespace ganforge
