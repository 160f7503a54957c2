// A run of `train`: steps, and what is written on the way.
#pragma once

#include "src/cli/metrics_file.h"
#include "src/cli/progress.h"
#include "src/cli/run_folder.h"
#include "src/gan/collapse.h"

#include <ganforge/gan.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace ganforge {

class TrainingRun {
 public:
  /// All but the folder must outlive the run. `data_diversity`: collapse.h.
  TrainingRun(const Config& config, RunFolder folder, Device& device, const Dataset& data, double data_diversity,
              Trainer& trainer);

  /// Writes what stands at the beginning of a run. If that fails the folder is removed.
  void begin(const std::vector<std::string>& arguments);
  /// Loads a checkpoint and cuts the run back to it, or to the beginning. `notices` receives a line for each reason why
  /// bits may differ.
  void resume(const std::optional<Checkpoint>& checkpoint, const std::vector<std::string>& arguments,
              std::vector<std::string>& notices);
  std::int64_t step() const { return trainer_.step(); }
  /// Trains to the configuration's steps. Returns the exit code. Throws DivergedError, with nothing of the step that
  /// diverged saved.
  int finish(const std::string& progress);

 private:
  void write_records(const std::vector<std::string>& arguments);
  void train_to_the_end();
  void report(const Stats& stats);
  void warn(std::int64_t step, const std::optional<CollapseWatch::Event>& event);
  void write_sample();
  void save();
  double seconds() const;

  const Config& config_;
  RunFolder folder_;
  Device& device_;
  const Dataset& data_;
  Trainer& trainer_;
  std::optional<MetricsFile> metrics_;
  std::optional<Progress> progress_;
  Meter meter_;
  double seconds_before_ = 0;  // of earlier processes
  std::chrono::steady_clock::time_point begin_;
  std::int64_t saved_step_ = -1;
  CollapseWatch collapse_;
};

}  // namespace ganforge
