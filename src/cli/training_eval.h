// What `eval_every` measures while a run goes on.
#pragma once

#include "src/cli/image_eval.h"
#include "src/cli/stacked_eval.h"

#include <ganforge/gan.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

class TrainingEval {
 public:
  /// Images need their data set and a classifier, which is trained if there is none yet; mixtures need nothing. Throws
  /// what ImageEval throws.
  TrainingEval(const Config& config, Device& device);

  struct Result {
    std::vector<std::pair<std::string, double>> metrics;  ///< in the order in which they are written
    double score = 0;                                     ///< the lower the better; not finite: worse than any
    std::string text;                                     ///< for people
  };
  /// Of config.eval_samples samples of seed 0.
  Result measure(Trainer& trainer);

 private:
  const Config& config_;
  const Mixture* mixture_;
  std::unique_ptr<StackedEval> stacked_;
  std::unique_ptr<ImageEval> images_;
};

}  // namespace ganforge
