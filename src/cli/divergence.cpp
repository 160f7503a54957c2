#include "src/cli/divergence.h"

#include "src/cli/events_file.h"
#include "src/cli/signals.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <vector>

namespace ganforge {
namespace {

std::string describe(const BadValue& bad, std::int64_t step) {
  const std::string where = fmt::format("element {} of {}", bad.element, bad.type.shape.str());
  if (!bad.variable.empty()) return fmt::format("{} was bad before step {} began ({})", bad.variable, step, where);
  return fmt::format("the first bad value is made in step {} by {}{}{} ({})", step, bad.scope,
                     bad.scope.empty() ? "" : ": ", bad.op, where);
}

/// Repeats training up to the step that was bad. A line for people, and `cause` for events.jsonl.
std::string find_cause(const DivergedError& error, const std::optional<Checkpoint>& checkpoint, Trainer& trainer,
                       nlohmann::ordered_json& event) {
  if (checkpoint) trainer.load(checkpoint->path);
  // A weight is looked at before its update: what made it bad is of the step before.
  const std::int64_t first = error.step - (error.tensor.starts_with("weight") ? 2 : 1);
  try {
    trainer.run(first - trainer.step(), {}, 0, [] { return stop_signal() != 0; });
  } catch (const DivergedError& earlier) {
    return fmt::format("repeated, it diverged at step {} already ({}): the device does not repeat its results",
                       earlier.step, earlier.tensor);
  }
  std::optional<BadValue> bad;
  while (!bad && trainer.step() < error.step) {
    if (stop_signal()) return "the search for the cause was interrupted";
    bad = trainer.find_bad_value();
  }
  if (!bad)
    return "repeated, the step is fine: something outside of training changed a value, or the hardware made an error";
  event["cause"] = {{"step", trainer.step()}};
  if (bad->variable.empty())
    event["cause"].update({{"operation", bad->op}, {"scope", bad->scope}});
  else
    event["cause"]["variable"] = bad->variable;
  event["cause"]["element"] = bad->element;
  return describe(*bad, trainer.step());
}

/// The newest whole checkpoint of a step before `step`; none: only the beginning is left. Later ones are set aside.
std::optional<Checkpoint> checkpoint_before(const RunFolder& run, std::int64_t step) {
  run.cut_back(step - 1);
  std::vector<std::string> ignored;
  try {
    return newest_checkpoint(run.path(), ignored);
  } catch (const FormatError&) {
    return std::nullopt;
  }
}

std::string explain(const DivergedError& error, const TrainingSetup& setup,
                    const std::optional<Checkpoint>& checkpoint) {
  fmt::print(stderr, "ganforge: {}; looking for the cause: steps {} to {} once more\n", error.what(),
             checkpoint ? checkpoint->step + 1 : 1, error.step);
  nlohmann::ordered_json event = {{"tensor", error.tensor}};
  const std::string cause = find_cause(error, checkpoint, *setup.make_trainer(), event);
  event["reason"] = cause;
  add_event(setup.folder.events(), error.step, "not_finite", event);
  return cause;
}

std::string advice(const TrainingSetup& setup, const std::optional<Checkpoint>& checkpoint) {
  if (!checkpoint) return "lower --lr-g and --lr-d";
  return fmt::format(
      "lower the learning rates, or go on from step {} with half of them: ganforge train --resume {} "
      "--on-nan rollback",
      checkpoint->step, setup.folder.path().string());
}

}  // namespace

int train_watched(const TrainingSetup& setup, OnNan on_nan, std::unique_ptr<Trainer> trainer,
                  const std::function<void(TrainingRun&)>& start) {
  std::function<void(TrainingRun&)> begin = start;
  std::int64_t from = trainer->step();
  for (int rollbacks = 0;; ++rollbacks) {
    std::optional<DivergedError> error;
    {
      TrainingRun training(setup.config, setup.folder, setup.device, setup.data, setup.data_diversity, *trainer);
      begin(training);
      from = trainer->step();
      try {
        return training.finish(setup.progress);
      } catch (const DivergedError& diverged) {
        error = diverged;
      }
    }
    trainer.reset();  // its memory is needed

    std::optional<Checkpoint> checkpoint = checkpoint_before(setup.folder, error->step);
    const std::string cause = explain(*error, setup, checkpoint);
    if (on_nan == OnNan::stop || stop_signal())
      throw Error(fmt::format("{}; {}; {}", error->what(), cause, advice(setup, checkpoint)));
    if (rollbacks == max_rollbacks)
      throw Error(fmt::format("{}; {}; given up after {} rollbacks", error->what(), cause, max_rollbacks));

    // A checkpoint that leads here at once, or again, is beyond help.
    if (checkpoint && (checkpoint->step + 1 == error->step || (rollbacks > 0 && checkpoint->step <= from)))
      checkpoint = checkpoint_before(setup.folder, checkpoint->step);
    TrainerOptions& options = setup.config.training;
    for (float* rate : {&options.generator_adam.lr, &options.discriminator_adam.lr, &options.generator_lr_decay.to,
                        &options.discriminator_lr_decay.to})
      *rate /= 2;
    trainer = setup.make_trainer();
    begin = [&setup, checkpoint](TrainingRun& training) {
      std::vector<std::string> ignored;
      training.resume(checkpoint, setup.words, ignored);
    };
    const std::int64_t to = checkpoint ? checkpoint->step : 0;
    fmt::print(stderr, "ganforge: {}; back to step {} with learning rates {} and {}\n", cause, to,
               options.generator_adam.lr, options.discriminator_adam.lr);
    add_event(setup.folder.events(), to, "rollback",
              {{"from_step", error->step},
               {"generator_lr", options.generator_adam.lr},
               {"discriminator_lr", options.discriminator_adam.lr}});
  }
}

}  // namespace ganforge
