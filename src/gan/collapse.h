// Signs that a run will not recover: a discriminator that is never wrong, and a generator whose samples are all alike.
#pragma once

#include <ganforge/gan.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ganforge {

/// Diversity of samples: the variance of an element over the samples, averaged over the elements.
double diversity(const Samples& samples);
/// The same of at most 1000 samples of a data set, mapped to a generator's range.
double diversity(const HostDataset& data, float low, float high);

class CollapseWatch {
 public:
  CollapseWatch(Objective objective, double data_diversity) : objective_(objective), data_diversity_(data_diversity) {}

  struct Event {
    std::string name;    ///< "discriminator_saturated", "low_diversity"
    std::string reason;  ///< for people
  };
  /// At most one event until the sign has gone again.
  std::optional<Event> look(const Stats& stats);
  std::optional<Event> look(std::int64_t step, const Samples& samples);

 private:
  Objective objective_;
  double data_diversity_;
  double most_diverse_ = 0;           // so far, as a share of the data's
  std::int64_t saturated_since_ = 0;  // a step; 0: it is not
  bool saturated_ = false, alike_ = false;
};

}  // namespace ganforge
