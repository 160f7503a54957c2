// Cross-entropy on the CPU: one thread, since a batch has few logits; sums in double precision.
#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

namespace ganforge {

void cross_entropy(const CpuStream&, const CrossEntropyArgs& args) {
  const double rows = static_cast<double>(args.rows);
  double loss = 0;
  std::int64_t correct = 0;
  for (std::int64_t row = 0; row < args.rows; ++row) {
    const float* x = args.logits + row * args.classes;
    float* dx = args.dlogits + row * args.classes;
    const std::int64_t label = args.labels[row];
    const std::int64_t largest = std::max_element(x, x + args.classes) - x;
    const float maximum = x[largest];
    double sum = 0;
    for (std::int64_t k = 0; k < args.classes; ++k) {
      dx[k] = std::exp(x[k] - maximum);
      sum += static_cast<double>(dx[k]);
    }
    const float scale = static_cast<float>(1 / (sum * rows));
    for (std::int64_t k = 0; k < args.classes; ++k) dx[k] *= scale;
    loss += std::log(sum);
    if (label < 0 || label >= args.classes) {
      loss += static_cast<double>(maximum);
      continue;
    }
    loss -= static_cast<double>(x[label] - maximum);
    dx[label] -= static_cast<float>(1 / rows);
    correct += largest == label;
  }
  *args.accuracy = static_cast<float>(static_cast<double>(correct) / rows);
  *args.loss = static_cast<float>(loss / rows);
}

}  // namespace ganforge
