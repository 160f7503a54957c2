// Modes of Stacked-MNIST.
#pragma once

#include <cstdint>
#include <span>

namespace ganforge {

struct StackedMetrics {
  std::int64_t modes = 0;  ///< combinations of classes that some sample has
  double reverse_kl = 0;   ///< KL(model ‖ uniform) over all combinations, in nats
};

/// `classes` [3n]: those of a sample's channels, one sample after the other, each below `k`. Srivastava et al.
/// (VEEGAN), arXiv:1705.07761, §5.2.
StackedMetrics stacked_metrics(std::span<const std::int32_t> classes, std::int64_t k);

}  // namespace ganforge
