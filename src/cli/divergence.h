// What `train` does when training has produced a NaN or an infinity.
#pragma once

#include "src/cli/training_run.h"

#include <ganforge/gan.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ganforge {

/// What a run is made from.
struct TrainingSetup {
  Config& config;
  RunFolder folder;
  Device& device;
  const Dataset& data;
  double data_diversity;           ///< collapse.h
  std::vector<std::string> words;  ///< of the command line
  std::string progress;
  std::function<std::unique_ptr<Trainer>()> make_trainer;
};

enum class OnNan {
  stop,     ///< says what was bad and where it came from, and stops
  rollback  ///< goes on from a checkpoint with half the learning rates
};
inline constexpr int max_rollbacks = 5;

/// Trains to the end: `start` begins or resumes the run. When training diverges it is repeated from the last checkpoint
/// up to the step that was bad, to see where a value first was not finite; events.jsonl tells what was found and done.
/// Returns the exit code; throws Error if training diverges and is not to go on.
int train_watched(const TrainingSetup& setup, OnNan on_nan, std::unique_ptr<Trainer> trainer,
                  const std::function<void(TrainingRun&)>& start);

}  // namespace ganforge
