#include "src/cli/stacked_eval.h"

#include "src/data/stacked.h"

namespace ganforge {

StackedEval::StackedEval(Device& device, const std::string& grey, const std::optional<std::string>& classifier)
    : data_(data_parts(grey)), classifier_(find_classifier(device, data_, classifier, file_)) {}

StackedMetrics StackedEval::measure(const HostDataset& images) {
  return stacked_metrics(classifier_.classify(unstack(images)).classes,
                         static_cast<std::int64_t>(classifier_.classes().size()));
}

StackedMetrics StackedEval::floor(std::int64_t n, std::uint64_t seed) {
  return measure(stack(data_.test, n, seed + 2));  // 0 and 1 are the training and test data
}

std::int64_t StackedEval::modes() const {
  const auto k = static_cast<std::int64_t>(classifier_.classes().size());
  return k * k * k;
}

}  // namespace ganforge
